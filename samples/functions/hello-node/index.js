const functions = require('@google-cloud/functions-framework');
const { capitalCase } = require('change-case');

const GREETING = 'Hello';

function greet(name) {
  return `${GREETING}, ${capitalCase(name || 'world')}!`;
}

functions.http('hello', (request, response) => {
  response.send(`${greet(request.query.name)} (${process.env.K_REVISION || 'local'})\n`);
});

module.exports = { greet };
