// Makes many lookups of one person each with the official Node SDK, by several workers at a time:
// one of three programs, in three languages, that `scripts/bench sdks` compares.
//
// The arguments, the environment and the output are those of ../python/lookups.py.
'use strict';

const { readFileSync } = require('node:fs');
const { parseArgs } = require('node:util');
const lark = require('@larksuiteoapi/node-sdk');

// Milliseconds for one HTTP request: loopback answers in a few, and a hang should end the run.
const TIMEOUT = 10_000;

// The SDK's own log would go to standard output, where the answer goes.
const silent = { fatal() {}, error() {}, warn() {}, info() {}, debug() {}, trace() {} };

async function main() {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: { workers: { type: 'string', default: '32' } },
  });
  if (positionals.length !== 1) throw new Error('usage: lookups.js [--workers N] FILE');
  const people = readFileSync(positionals[0], 'utf8').split('\n').filter(Boolean);
  lark.defaultHttpInstance.defaults.timeout = TIMEOUT;
  const client = new lark.Client({
    domain: process.env.FEISHU_BASE_URL,
    appId: process.env.FEISHU_APP_ID,
    appSecret: process.env.FEISHU_APP_SECRET,
    logger: silent,
  });

  const began = performance.now();
  const codes = {};
  let next = 0;
  let answered = 0;
  const worker = async () => {
    while (next < people.length) {
      const code = await ask(client, people[next++]);
      if (code === '') answered += 1;
      else codes[code] = (codes[code] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: Number(options.workers) }, worker));
  const seconds = (performance.now() - began) / 1000;
  console.log(JSON.stringify({ answered, failed: people.length - answered, calls: people.length, codes, seconds }));
}

// With which code the call failed; nothing if it did not.
async function ask(client, person) {
  const data = person.includes('@') ? { emails: [person] } : { mobiles: [person] };
  try {
    const response = await client.contact.v3.user.batchGetId({ params: { user_id_type: 'user_id' }, data });
    if (response.code !== 0) return String(response.code);
    const rows = response.data.user_list ?? [];
    return rows.length === 1 && rows[0].user_id ? '' : 'nobody';
  } catch (error) {
    if (error.response?.data?.code !== undefined) return String(error.response.data.code);
    // What the token endpoint refused, the SDK tells only in the text of an Error.
    return /code: (\d+), msg: /.exec(error.message)?.[1] ?? 'other';
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
