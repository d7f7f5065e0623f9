const test = require('node:test');
const assert = require('node:assert');
const { greet } = require('../index.js');

test('greets the world by default', () => {
  assert.match(greet(), /, World!$/);
});

test('greets by name', () => {
  assert.match(greet('ada lovelace'), /, Ada Lovelace!$/);
});
