/**
 * A certificate authority for tests: one P-256 root, leaf certificates for given host names.
 *
 * Written as DER by hand (RFC 5280) because Node can sign but not issue, and a fresh machine may
 * have no openssl. Valid for one day; keys live in memory and in the test's own folder only.
 */
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'

const DAY_MS = 86_400_000
const ECDSA_SHA256 = '1.2.840.10045.4.3.2'

export interface TestCertificate {
  readonly cert: string
  readonly key: string
}

export interface TestCa {
  /** PEM of the root: `SSL_CERT_FILE`, `NODE_EXTRA_CA_CERTS`, `extraCaFile`. */
  readonly cert: string
  issue(
    hostNames: readonly string[],
    faults?: { expired?: boolean; selfSigned?: boolean },
  ): TestCertificate
  /** Base64 SHA-256 of a certificate's public key: chromium's `--ignore-certificate-errors-spki-list`. */
  spkiDigest(cert: string): string
}

export function createTestCa(): TestCa {
  const root = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = distinguishedName('Postern test CA')
  const rootId = keyId(root.publicKey)
  const rootCert = certificate({
    issuer: name,
    subject: name,
    publicKey: root.publicKey,
    signer: root.privateKey,
    extensions: [
      extension('2.5.29.19', true, sequence(boolean(true))),
      // keyCertSign and cRLSign: bits 5 and 6.
      extension('2.5.29.15', true, tlv(0x03, Buffer.from([1, 0b0000_0110]))),
      extension('2.5.29.14', false, octets(rootId)),
    ],
  })
  return {
    cert: rootCert,
    issue(hostNames, faults = {}) {
      const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const names = hostNames.map((host) => tlv(0x82, Buffer.from(host, 'latin1')))
      const cert = certificate({
        issuer: faults.selfSigned === true ? distinguishedName(hostNames[0] ?? 'localhost') : name,
        subject: distinguishedName(hostNames[0] ?? 'localhost'),
        publicKey: leaf.publicKey,
        signer: faults.selfSigned === true ? leaf.privateKey : root.privateKey,
        shiftMs: faults.expired === true ? -2 * DAY_MS : 0,
        extensions: [
          extension('2.5.29.19', true, sequence()),
          extension('2.5.29.15', true, tlv(0x03, Buffer.from([7, 0b1000_0000]))),
          extension('2.5.29.37', false, sequence(objectId('1.3.6.1.5.5.7.3.1'))),
          extension('2.5.29.17', false, sequence(...names)),
          extension('2.5.29.14', false, octets(keyId(leaf.publicKey))),
          extension(
            '2.5.29.35',
            false,
            sequence(tlv(0x80, faults.selfSigned === true ? keyId(leaf.publicKey) : rootId)),
          ),
        ],
      })
      return { cert, key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
    },
    spkiDigest: (cert) =>
      createHash('sha256')
        .update(
          createPublicKey(
            new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'pem' }),
          ).export({ type: 'spki', format: 'der' }),
        )
        .digest('base64'),
  }
}

function certificate(parts: {
  issuer: Buffer
  subject: Buffer
  publicKey: KeyObject
  signer: KeyObject
  /** Moves the day of validity; negative is the past. */
  shiftMs?: number
  extensions: readonly Buffer[]
}): string {
  const { shiftMs = 0 } = parts
  const algorithm = sequence(objectId(ECDSA_SHA256))
  const serial = randomBytes(16)
  // A serial number is positive and its first byte is not zero (RFC 5280 section 4.1.2.2).
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  const toSign = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, serial),
    algorithm,
    parts.issuer,
    sequence(utcTime(Date.now() + shiftMs - DAY_MS), utcTime(Date.now() + shiftMs + DAY_MS)),
    parts.subject,
    parts.publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...parts.extensions)),
  )
  const signature = sign('sha256', toSign, parts.signer)
  const der = sequence(toSign, algorithm, tlv(0x03, Buffer.concat([Buffer.from([0]), signature])))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function keyId(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
}

function tlv(tag: number, content: Buffer): Buffer {
  const size = content.length
  const head =
    size < 0x80
      ? [tag, size]
      : size < 0x100
        ? [tag, 0x81, size]
        : [tag, 0x82, size >> 8, size & 0xff]
  return Buffer.concat([Buffer.from(head), content])
}

function sequence(...items: readonly Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(items))
}

function octets(content: Buffer): Buffer {
  return tlv(0x04, content)
}

function boolean(value: boolean): Buffer {
  return tlv(0x01, Buffer.from([value ? 0xff : 0]))
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return critical
    ? sequence(objectId(id), boolean(true), octets(value))
    : sequence(objectId(id), octets(value))
}

function distinguishedName(commonName: string): Buffer {
  return sequence(tlv(0x31, sequence(objectId('2.5.4.3'), tlv(0x0c, Buffer.from(commonName)))))
}

function utcTime(timeMs: number): Buffer {
  const text = new Date(timeMs).toISOString().replace(/[-:T]/g, '').slice(2, 14)
  return tlv(0x17, Buffer.from(`${text}Z`, 'latin1'))
}

function objectId(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return tlv(0x06, Buffer.from(bytes))
}
