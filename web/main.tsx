import { render } from 'preact'
import { Actors } from './actors.tsx'
import { Charts } from './chart.tsx'
import { Header } from './header.tsx'
import { listenToKeys } from './keys.ts'
import { Log } from './log.tsx'
import { connect } from './player.ts'
import { Scrubber } from './scrubber.tsx'

render(
  <>
    <Header />
    <Actors />
    <Charts />
    <Log />
    <Scrubber />
  </>,
  document.body,
)
listenToKeys()
connect()
