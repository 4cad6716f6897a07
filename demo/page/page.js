// Draws what /demo/events says. Every number on the page comes from a request of this run.
const WINDOW_MS = 60_000
const FLOOR_MS = 0.5
const CEILING_MS = 5_000
const LEFT = 74
const RIGHT = 8
const TOP = 22
const BOTTOM = 24
const REDRAW_MS = 250
const LABEL_ROWS = 3
const LABEL_LETTER = 7.5
const LABEL_HEIGHT = 15
/** Drawn from the middle: a circle and a diamond, so that colour is not needed. */
const SHAPES = {
  before: 'm-3 0a3 3 0 1 1 6 0a3 3 0 1 1-6 0z',
  postern: 'm0-3.8l3.8 3.8l-3.8 3.8l-3.8-3.8z',
}
const LANES = { noAuth: 'alone', before: 'before', postern: 'postern' }

const calls = { noAuth: [], before: [], postern: [] }
const changes = []
const latest = {}
let state
const element = (selector) => document.querySelector(selector)
const figure = (ms) => (ms >= 100 ? Math.round(ms).toLocaleString('en') : ms.toFixed(1))
const isRefused = (call) => call.status !== 200

const events = new EventSource('/demo/events')
events.addEventListener('open', () => {
  for (const list of Object.values(calls)) list.length = 0
})
events.addEventListener('call', (message) => {
  const call = JSON.parse(message.data)
  const list = calls[call.lane]
  list.push({ ...call, at: performance.now() - call.ageMs })
  while (list.length > 0 && list[0].at < performance.now() - WINDOW_MS) list.shift()
  latest[call.lane] = call
  if (call.timeline !== undefined) showTimeline(call.timeline)
})
events.addEventListener('state', (message) => {
  const next = JSON.parse(message.data)
  if (state !== undefined) noteChange(state, next)
  state = next
  show()
})
events.addEventListener('error', () => announce('The demo does not answer. Is it still running?'))

function show() {
  showLane('before', state.before)
  showLane('postern', state.postern)
  if (state.noAuth.p50Ms !== undefined) element('#alone').textContent = figure(state.noAuth.p50Ms)
  const behind = state.postern.providerCallsBehind
  element('#behind').textContent = ` · ${behind} behind it in the last minute`
  const { name, delayMs, killed } = state.provider
  toggle('#kill', killed, killed ? 'Revive provider' : 'Kill provider')
  toggle('#revoke', state.revoked, state.revoked ? 'Sign Ada in again' : 'Revoke Ada')
  choose('delay', String(delayMs))
  choose('provider', name)
  const { boundSeconds, defaultBoundSeconds, measuredSeconds } = state.revocation
  const measured =
    measuredSeconds === undefined
      ? 'Press Revoke Ada.'
      : `Measured last: ${measuredSeconds.toFixed(1)} s.`
  element('#bound').textContent =
    `Refused within ${boundSeconds} s while the provider answers; set small here, ${defaultBoundSeconds} s unless configured. ${measured}`
  element('#try').textContent = state.command
  showRemote(state.remote)
  if (state.problem !== undefined) announce(state.problem)
}

function showRemote({ warmMs, deadMs, plainMs, plainHungMs, note, connected, killed, busy }) {
  const shown = (ms) => (ms === undefined ? '–' : `${figure(ms)} ms`)
  element('#warm').textContent = shown(warmMs)
  element('#dead').textContent = shown(deadMs)
  element('#plain').textContent = shown(plainMs)
  element('#plain-dead').textContent =
    plainHungMs === undefined ? '–' : `no answer in ${plainHungMs / 1_000} s`
  if (note !== undefined) element('#remote-note').textContent = note
  toggle('#connect', connected, connected ? 'Disconnect' : 'Connect')
  toggle('#kill-remote', killed, killed ? 'Revive server' : 'Kill server')
  for (const selector of ['#connect', '#kill-remote']) element(selector).disabled = busy
}

/** A refusal takes the place of the latency: a fast 401 is not a fast call. */
function showLane(lane, summary) {
  const card = element(`#${lane}`)
  const last = latest[lane]
  const refused = last !== undefined && isRefused(last)
  card.classList.toggle('refused', refused)
  const value = card.querySelector('.value')
  const unit = card.querySelector('.unit')
  if (refused) {
    value.textContent = last.status === 0 ? 'no answer' : String(last.status)
    unit.textContent = last.note ?? 'refused'
  } else if (summary.p50Ms !== undefined) {
    value.textContent = figure(summary.p50Ms)
    unit.textContent = 'ms per call'
  }
  if (summary.calls > 0) {
    const perRequest = Math.round(summary.providerCallsPerRequest * 100) / 100
    card.querySelector('.provider-calls').textContent = String(perRequest)
  }
  if (last !== undefined) card.querySelector('.last').textContent = lastLine(last)
}

function lastLine(call) {
  const { killed } = state.provider
  const subject = killed ? 'Provider killed' : state.revoked ? 'Ada revoked' : 'Last call'
  const note = call.note === undefined ? '' : `, ${call.note}`
  return `${subject}: ${call.status}${note}, ${figure(call.durationMs)} ms`
}

function showTimeline({ forwardMs, serverMs, backMs }) {
  const parts = [
    ['authenticate, forward', forwardMs, ''],
    ['server', serverMs, 'server'],
    ['back', backMs, ''],
  ]
  const total = forwardMs + serverMs + backMs
  const bar = document.createElement('div')
  bar.className = 'parts'
  bar.setAttribute('aria-hidden', 'true')
  for (const [, ms, name] of parts) {
    const part = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
    part.setAttribute('class', `part ${name}`)
    part.style.width = `${Math.max(1, (ms / total) * 100)}%`
    bar.append(part)
  }
  const text = parts.map(([name, ms]) => `${name} ${ms.toFixed(1)} ms`).join(' · ')
  element('#timeline').replaceChildren(bar, text)
}

function toggle(selector, isOn, label) {
  const button = element(selector)
  button.classList.toggle('on', isOn)
  if (button.textContent !== label) button.textContent = label
}

function choose(name, value) {
  const input = element(`input[name=${name}][value="${value}"]`)
  if (input !== null && document.activeElement?.name !== name) input.checked = true
}

function announce(text) {
  const status = element('#status')
  if (status.textContent !== text) status.textContent = text
}

/** What the visitor did, as a line in the plot. */
function noteChange(before, after) {
  const label =
    before.provider.name !== after.provider.name
      ? after.provider.name === 'github'
        ? 'GitHub'
        : 'OpenID'
      : before.provider.killed !== after.provider.killed
        ? after.provider.killed
          ? 'killed'
          : 'revived'
        : before.provider.delayMs !== after.provider.delayMs
          ? `${after.provider.delayMs.toLocaleString('en')} ms`
          : before.revoked !== after.revoked
            ? after.revoked
              ? 'revoked'
              : 'signed in'
            : undefined
  if (before.provider.name !== after.provider.name) {
    for (const list of Object.values(calls)) list.length = 0
    for (const lane of Object.keys(latest)) delete latest[lane]
  }
  if (label === undefined) return
  changes.push({ at: performance.now(), label })
  announce(label)
}

function draw() {
  const plot = element('#plot')
  const { width, height } = plot.getBoundingClientRect()
  if (width === 0 || height === 0) return
  const now = performance.now()
  while (changes.length > 0 && changes[0].at < now - WINDOW_MS) changes.shift()
  const low = Math.log10(FLOOR_MS)
  const span = Math.log10(CEILING_MS) - low
  const x = (at) => LEFT + (1 - (now - at) / WINDOW_MS) * (width - LEFT - RIGHT)
  const y = (ms) => {
    const share = (Math.log10(Math.min(Math.max(ms, FLOOR_MS), CEILING_MS)) - low) / span
    return height - BOTTOM - share * (height - TOP - BOTTOM)
  }
  const floor = height - BOTTOM
  const grid = [1, 10, 100, 1000].map((ms) => {
    const at = y(ms).toFixed(1)
    return `<line class="grid" x1="${LEFT}" x2="${width - RIGHT}" y1="${at}" y2="${at}"/><text x="${LEFT - 10}" y="${Number(at) + 4}" text-anchor="end">${ms.toLocaleString('en')} ms</text>`
  })
  const axis = `<text x="${LEFT}" y="${height - 6}">60 s ago</text><text x="${width - RIGHT}" y="${height - 6}" text-anchor="end">now</text>`
  const marks = drawChanges(x, width, floor)
  const lanes = Object.entries(LANES).map(([lane, name]) => drawLane(calls[lane], name, x, y))
  plot.innerHTML = `<svg viewBox="0 0 ${width} ${height}">${grid.join('')}${axis}${marks}${lanes.join('')}</svg>`
}

/** What the visitor did; a label that would cover its neighbour goes one row down. */
function drawChanges(x, width, floor) {
  const rows = Array.from({ length: LABEL_ROWS }, () => Number.NEGATIVE_INFINITY)
  return changes
    .map(({ at, label }) => {
      const left = x(at)
      const room = label.length * LABEL_LETTER
      const start = Math.min(left + 5, width - RIGHT - room)
      const row = rows.findIndex((end) => end < start)
      const line = `<line class="change" x1="${left.toFixed(1)}" x2="${left.toFixed(1)}" y1="4" y2="${floor}"/>`
      if (row < 0) return line
      rows[row] = start + room
      return `${line}<text x="${start.toFixed(1)}" y="${14 + row * LABEL_HEIGHT}">${label}</text>`
    })
    .join('')
}

/** A line through calls that succeeded, broken where one was refused; refused marks are hollow. */
function drawLane(list, name, x, y) {
  let path = ''
  let pen = 'M'
  let marks = ''
  const oldest = performance.now() - WINDOW_MS
  for (const call of list) {
    if (call.at < oldest) continue
    const at = `${x(call.at).toFixed(1)} ${y(call.durationMs).toFixed(1)}`
    const refused = isRefused(call)
    if (!refused) path += `${pen}${at}`
    pen = refused ? 'M' : 'L'
    if (name !== 'alone')
      marks += `<path class="${refused ? 'hollow' : 'dot'}" d="M${at}${SHAPES[name]}"/>`
  }
  return `<g class="${name}"><path class="curve" d="${path}"/>${marks}</g>`
}

async function press(button, path, body = {}) {
  if (button !== undefined) button.disabled = true
  try {
    await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  } catch {
    announce('The demo does not answer. Is it still running?')
  } finally {
    if (button !== undefined) button.disabled = false
  }
}

for (const input of document.querySelectorAll('input[name=delay]')) {
  input.addEventListener('change', () =>
    press(undefined, '/demo/delay', { delayMs: Number(input.value) }),
  )
}
for (const input of document.querySelectorAll('input[name=provider]')) {
  input.addEventListener('change', () =>
    press(undefined, '/demo/provider', { provider: input.value }),
  )
}
element('#kill').addEventListener('click', ({ currentTarget }) =>
  press(currentTarget, state?.provider.killed === true ? '/demo/revive' : '/demo/kill'),
)
element('#revoke').addEventListener('click', ({ currentTarget }) =>
  press(currentTarget, state?.revoked === true ? '/demo/sign-in' : '/demo/revoke'),
)
element('#connect').addEventListener('click', () =>
  press(
    undefined,
    state?.remote.connected === true ? '/demo/remote/disconnect' : '/demo/remote/connect',
  ),
)
element('#kill-remote').addEventListener('click', () =>
  press(undefined, state?.remote.killed === true ? '/demo/remote/revive' : '/demo/remote/kill'),
)
setInterval(draw, REDRAW_MS)
draw()
