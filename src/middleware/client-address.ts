/**
 * Which address a `Request` came from, where the runtime knows it. Kept beside the request and not in
 * a header, so that nobody can send it.
 */
const ADDRESSES = new WeakMap<Request, string>()

export function rememberClientAddress(request: Request, address: string | undefined): void {
  if (address !== undefined) ADDRESSES.set(request, address)
}

export function clientAddress(request: Request): string | undefined {
  return ADDRESSES.get(request)
}
