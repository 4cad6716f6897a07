// Draws what /demo/events says; every number on the page comes from a request of this run.
const WINDOW_MS = 60_000
const WIDTH = 1200
const HEIGHT = 260
const LEFT = 64
const FLOOR_MS = 0.5
const CEILING_MS = 10_000

const calls = { noAuth: [], before: [], postern: [] }
const element = (selector) => document.querySelector(selector)
const figure = (ms) => (ms >= 100 ? Math.round(ms).toLocaleString('en') : ms.toFixed(1))

const events = new EventSource('/demo/events')
events.addEventListener('call', (message) => {
  const call = JSON.parse(message.data)
  const list = calls[call.lane]
  list.push({ ...call, at: performance.now() })
  while (list.length > 0 && list[0].at < performance.now() - WINDOW_MS) list.shift()
  showLast(call)
  draw()
})
events.addEventListener('state', (message) => show(JSON.parse(message.data)))

function show(state) {
  for (const [id, lane] of [['#before', state.before], ['#postern', state.postern]]) {
    if (lane === undefined) continue
    element(`${id} .p50`).textContent = figure(lane.p50Ms)
    element(`${id} .provider-calls`).textContent = String(Math.round(lane.providerCallsPerRequest * 10) / 10)
  }
  if (state.noAuth !== undefined) element('#alone').textContent = figure(state.noAuth.p50Ms)
  const kill = element('#kill')
  kill.setAttribute('aria-pressed', String(state.provider.killed))
  kill.textContent = state.provider.killed ? 'Revive provider' : 'Kill provider'
  const revoke = element('#revoke')
  revoke.textContent = state.revoked ? 'Sign Ada in again' : 'Revoke Ada'
  const delay = document.querySelector(`input[name=delay][value="${state.provider.delayMs}"]`)
  if (delay !== null) delay.checked = true
  element('#try').textContent = state.command
  element('#bound').textContent =
    `revocation bound ${state.revocation.boundSeconds} s` +
    (state.revocation.measuredSeconds === undefined
      ? ''
      : `, measured last: ${Math.round(state.revocation.measuredSeconds)} s`)
}

function showLast(call) {
  if (call.lane === 'noAuth') return
  const line = element(`#${call.lane} .last`)
  line.classList.toggle('refused', call.status !== 200)
  line.textContent = `last call: ${call.status}${call.note === undefined ? '' : ` ${call.note}`}, ${figure(call.durationMs)} ms`
  if (call.lane === 'postern' && call.timeline !== undefined) {
    element('#timeline').textContent = `Timeline of the last request: ${call.timeline}`
  }
}

const y = (ms) => {
  const low = Math.log10(FLOOR_MS)
  const share = (Math.log10(Math.min(Math.max(ms, FLOOR_MS), CEILING_MS)) - low) / (Math.log10(CEILING_MS) - low)
  return HEIGHT - 14 - share * (HEIGHT - 24)
}

function draw() {
  const now = performance.now()
  const x = (at) => LEFT + ((at - (now - WINDOW_MS)) / WINDOW_MS) * (WIDTH - LEFT)
  const lines = [1, 10, 100, 1000].map((ms) => grid(ms)).join('')
  const path = (lane, name) => {
    const points = calls[lane].map((call) => `${x(call.at).toFixed(1)},${y(call.durationMs).toFixed(1)}`)
    if (points.length === 0) return ''
    const dots = points.map((point) => `M${point}h0.01`).join('')
    return `<path class="${name}" d="M${points.join('L')}"/><path class="${name}" stroke-linecap="round" d="${dots}"/>`
  }
  element('#plot').innerHTML = lines + path('noAuth', 'alone') + path('before', 'before') + path('postern', 'postern')
}

function grid(ms) {
  const at = y(ms).toFixed(1)
  return `<line class="grid" x1="${LEFT}" x2="${WIDTH}" y1="${at}" y2="${at}"/><text x="0" y="${Number(at) + 4}">${ms.toLocaleString('en')} ms</text>`
}

const post = (path, body) =>
  fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body ?? {}) })

for (const input of document.querySelectorAll('input[name=delay]')) {
  input.addEventListener('change', () => post('/demo/delay', { delayMs: Number(input.value) }))
}
element('#kill').addEventListener('click', () =>
  post(element('#kill').getAttribute('aria-pressed') === 'true' ? '/demo/revive' : '/demo/kill'),
)
element('#revoke').addEventListener('click', () =>
  post(element('#revoke').textContent === 'Revoke Ada' ? '/demo/revoke' : '/demo/sign-in'),
)
draw()
