// Reads package.json once and says what the buildpack wants to know, as shell assignments; or why the folder
// is no application, with exit code 100. Starting node is what costs here, so it is started once.
const fs = require('fs');

function refuse(reason) {
  console.log(reason);
  process.exit(100);
}

let manifest;
try {
  manifest = JSON.parse(fs.readFileSync('package.json', 'utf8'));
} catch (error) {
  refuse(`package.json is not valid JSON: ${error.message}`);
}

const start = (manifest.scripts && manifest.scripts.start) || '';
const candidates = [manifest.main, 'index.js', 'function.js', 'server.js'].filter(Boolean);
const main = candidates.find((file) => fs.existsSync(file)) || '';
if (!start && !main) {
  refuse(`package.json has no scripts.start, and there is no main file (looked for ${candidates.join(', ')})`);
}

// The function's name: what the source registers with the framework, or what it exports first.
let target = process.env.GOOGLE_FUNCTION_TARGET || process.env.FUNCTION_TARGET || '';
if (!start && !target) {
  const source = fs.readFileSync(main, 'utf8');
  const registered = source.match(/\.(?:http|cloudEvent)\(\s*['"]([\w.-]+)['"]/);
  const exported = source.match(/^\s*exports\.([A-Za-z_$][\w$]*)\s*=/m);
  target = (registered && registered[1]) || (exported && exported[1]) || 'function';
}

const quote = (text) => `'${String(text).replace(/'/g, `'\\''`)}'`;
const values = {
  start,
  start_toml: JSON.stringify(start),
  target,
  signature: process.env.GOOGLE_FUNCTION_SIGNATURE_TYPE || process.env.FUNCTION_SIGNATURE_TYPE || '',
  has_dependencies: Object.keys(manifest.dependencies || {}).length > 0,
  node_version: process.version,
};
for (const [name, value] of Object.entries(values)) console.log(`${name}=${quote(value)}`);
