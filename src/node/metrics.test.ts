import { describe, expect, it } from 'vitest'
import { createMetrics } from './metrics.ts'

describe('metrics', () => {
  it('writes counters, gauges and histograms as Prometheus text', async () => {
    const metrics = createMetrics()
    metrics.count('postern_auth_refusals_total', { reason: 'a "b"\\\n' }, 2)
    metrics.count('postern_auth_refusals_total', { reason: 'a "b"\\\n' }, 1)
    metrics.gauge('postern_streams_open', 7, undefined)
    metrics.gauge('postern_streams_open', 3, undefined)
    for (const seconds of [0.00005, 0.002, 99]) {
      metrics.observe('postern_http_request_duration_seconds', seconds, { route: 'mcp' })
    }
    const text = await metrics.text()
    expect(text).toContain('postern_auth_refusals_total{reason="a \\"b\\"\\\\\\n"} 3\n')
    expect(text).toContain('# TYPE postern_streams_open gauge\npostern_streams_open 3\n')
    const name = 'postern_http_request_duration_seconds'
    expect(text).toContain(`${name}_bucket{route="mcp",le="0.0001"} 1\n`)
    expect(text).toContain(`${name}_bucket{route="mcp",le="0.005"} 2\n`)
    expect(text).toContain(`${name}_bucket{route="mcp",le="30"} 2\n`)
    expect(text).toContain(`${name}_bucket{route="mcp",le="+Inf"} 3\n`)
    expect(text).toContain(`${name}_count{route="mcp"} 3\n`)
  })

  it('refuses a name that is not in the table, or of another type', () => {
    const metrics = createMetrics()
    expect(() => metrics.count('postern_nothing_total', undefined, 1)).toThrow(TypeError)
    expect(() => metrics.count('postern_streams_open', undefined, 1)).toThrow(TypeError)
  })

  it('I9: a series has a bounded number of label combinations', async () => {
    const metrics = createMetrics()
    for (let n = 0; n < 3_000; n += 1) {
      metrics.count('postern_auth_refusals_total', { reason: `r${n}` }, 1)
    }
    const lines = (await metrics.text()).split('\n').filter((line) => !line.startsWith('#'))
    expect(lines.length).toBeLessThan(2_010)
    expect(lines).toContain('postern_auth_refusals_total{reason="other"} 1000')
  })
})
