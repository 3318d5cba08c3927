import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { chartsModule } from './charts-module.ts'

/** Builds the page that shows the machines to where `src/inspect/page-files.ts` finds it. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  logLevel: 'warn',
  plugins: [chartsModule()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: fileURLToPath(new URL('../dist/inspect/page', import.meta.url)),
    emptyOutDir: true,
    assetsDir: '.',
    modulePreload: false,
    // Most of the build is the layout of the charts.
    rolldownOptions: { checks: { pluginTimings: false } },
  },
})
