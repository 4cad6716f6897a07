/** nginx from Debian's `nginx-light` as the baseline: one worker, `proxy_pass` with keep-alive, no log. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { alsoClose, end, freePort } from './children.ts'
import { cycle, mcpRequest, send } from './load.ts'
import { pause } from './measure.ts'

export interface Nginx {
  readonly port: number
  /** The worker: the process that carries the requests. */
  readonly pid: number
}

const START_ATTEMPTS_MAX = 100
const START_PAUSE_MS = 50

export async function startNginx(upstreamPort: number): Promise<Nginx> {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'postern-nginx-'))
  mkdirSync(join(folder, 'temp'))
  writeFileSync(join(folder, 'nginx.conf'), configuration(folder, port, upstreamPort))
  const master = spawn(findNginx(), ['-p', folder, '-c', 'nginx.conf', '-e', 'error.log'], {
    stdio: 'ignore',
  })
  alsoClose(async () => {
    await end(master)
    await rm(folder, { recursive: true, force: true })
  })
  const masterPid = master.pid ?? 0
  for (let attempt = 0; attempt < START_ATTEMPTS_MAX; attempt++) {
    await pause(START_PAUSE_MS)
    const children = readFileSync(`/proc/${masterPid}/task/${masterPid}/children`, 'utf8').trim()
    const pid = Number(children.split(' ')[0])
    if (pid > 0 && (await answers(port))) return { port, pid }
  }
  throw new Error('nginx did not start')
}

async function answers(port: number): Promise<boolean> {
  const request = mcpRequest({ port, path: '/', body: '{}' })
  return send(cycle(port, [request]), 1, 1).then(
    ({ statuses }) => statuses.has(200),
    () => false,
  )
}

function findNginx(): string {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']
  const found = folders.map((folder) => join(folder, 'nginx')).find((path) => existsSync(path))
  if (found === undefined) throw new Error('nginx is missing: sudo apt-get install nginx-light')
  return found
}

function configuration(folder: string, port: number, upstreamPort: number): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/temp/${name};`)
    .join('\n')
  return `daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_body_buffer_size 16k;
  ${temp}
  upstream calls {
    server 127.0.0.1:${upstreamPort};
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://calls;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`
}
