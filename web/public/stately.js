// Passes what the agent tells on to Stately Inspector, which says when it is ready.
const site = 'https://stately.ai'
const inspector = document.querySelector('iframe')

addEventListener('message', ({ data, origin, source }) => {
  if (origin !== site || source !== inspector.contentWindow || data?.type !== '@statelyai.connected') return
  const socket = new WebSocket(`ws://${location.host}/`)
  socket.addEventListener('message', (message) => inspector.contentWindow.postMessage(JSON.parse(message.data), site))
})
