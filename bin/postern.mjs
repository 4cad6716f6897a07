#!/usr/bin/env node
// Old syntax and no import before the version check: an old Node must be able to read this file.
var version = process.versions.node
if (Number(version.split('.')[0]) < 24) {
  process.stderr.write(
    'Postern needs Node 24 or newer; this is v' +
      version +
      '. Try: npx -p node@24 -p postern postern serve\n',
  )
  process.exitCode = 2
} else {
  import('../dist/cli/main.js')
}
