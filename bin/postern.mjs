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
  keepCompiledCode()
  import('../dist/cli/main.js')
}

// From the second start on nothing is compiled again. In the user's own folder, not in Node's default
// below /tmp: who can write there first could choose what runs here. Without a folder: no cache.
function keepCompiledCode() {
  var home = process.env.XDG_CACHE_HOME
  try {
    home = home || process.getBuiltinModule('os').homedir() + '/.cache'
    process.getBuiltinModule('module').enableCompileCache(home + '/postern')
  } catch {
    // A user without a home folder.
  }
}
