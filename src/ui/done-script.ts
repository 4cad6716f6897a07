/**
 * `GET /widget/done.js`: what the end page of a popup runs. It tells the page that opened the popup how
 * it ended, at exactly one origin, and closes; cut off from it, it goes to the registered return URL
 * (flows.md section 7, step 6). Everything it says stands in attributes of its own element.
 */
export const DONE_SCRIPT = `(() => {
  const { type, attempt, nonce, confirmation, code, origin, returnUrl } = document.currentScript.dataset
  if (window.opener !== null) {
    const told = type === 'postern:done' ? { confirmation } : { code }
    window.opener.postMessage({ type, attempt, nonce, ...told }, origin)
    window.close()
  } else if (returnUrl !== undefined) {
    const fragment = new URLSearchParams(
      type === 'postern:done' ? { 'postern-confirmation': confirmation, attempt } : { postern: code },
    )
    location.replace(returnUrl + '#' + fragment)
  } else {
    document.getElementById('told').hidden = true
    document.getElementById('lost').hidden = false
  }
})()
`
