/** Made by `charts-module.ts` when the page is built: each chart at a glance, and with what its arrows say. */
declare module 'virtual:charts' {
  type Chart = import('./charts-module.ts').Chart
  export const charts: Readonly<Record<'agent' | 'job' | 'step', { readonly brief: Chart; readonly full: Chart }>>
}
