// Asks Feishu for IDs with the official Node SDK (@larksuiteoapi/node-sdk): one of three programs,
// in three languages, that `scripts/sdk-battery` holds against the simulated Feishu.
//
// The commands, the environment, the output and the exit codes are those of ../python/battery.py.
'use strict';

const { parseArgs } = require('node:util');
const lark = require('@larksuiteoapi/node-sdk');

// Milliseconds for one HTTP request: loopback answers in a few, and a hang should end the run.
const TIMEOUT = 10_000;

// The SDK's own log would go to standard output, where the answer goes.
const silent = { fatal() {}, error() {}, warn() {}, info() {}, debug() {}, trace() {} };

async function main() {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      type: { type: 'string', default: 'user_id' },
      'include-resigned': { type: 'boolean', default: false },
      control: { type: 'string' },
    },
  });
  const [command, ...identifiers] = positionals;
  if (command !== 'resolve' && command !== 'revoked') {
    throw new Error('usage: battery.js resolve|revoked [--type T] [--include-resigned] [--control URL] IDENTIFIER...');
  }
  lark.defaultHttpInstance.defaults.timeout = TIMEOUT;
  const client = new lark.Client({
    domain: process.env.FEISHU_BASE_URL,
    appId: process.env.FEISHU_APP_ID,
    appSecret: process.env.FEISHU_APP_SECRET,
    logger: silent,
  });
  const question = {
    params: { user_id_type: options.type },
    data: { include_resigned: options['include-resigned'] },
  };
  const emails = identifiers.filter((identifier) => identifier.includes('@'));
  const mobiles = identifiers.filter((identifier) => !identifier.includes('@'));
  if (emails.length > 0) question.data.emails = emails;
  if (mobiles.length > 0) question.data.mobiles = mobiles;

  let answer = await ask(client, question);
  if (command === 'revoked') {
    if (!answer.ok) throw new Error('the first call was refused, before anything was revoked');
    await revoke(options.control);
    answer = await ask(client, question);
  }
  console.log(JSON.stringify(sorted(answer)));
  process.exitCode = answer.ok ? 0 : 1;
}

async function ask(client, question) {
  try {
    const response = await client.contact.v3.user.batchGetId(question);
    if (response.code !== 0) return refusal(response);
    return { ok: true, rows: response.data.user_list ?? [] };
  } catch (error) {
    if (error.response?.data?.code !== undefined) {
      return refusal(error.response.data, error.response.status, error.response.headers['x-tt-logid'] ?? '');
    }
    // What the token endpoint refused, the SDK tells only in the text of an Error.
    const told = /code: (\d+), msg: (.*)$/.exec(error.message);
    if (told) return { ok: false, code: Number(told[1]), msg: told[2] };
    throw error;
  }
}

function refusal(body, status, logId) {
  const answer = { ok: false, code: body.code, msg: body.msg, http_status: status, log_id: logId };
  const error = body.error ?? {};
  if (error.permission_violations?.length) {
    answer.scopes = error.permission_violations.map((violation) => violation.subject);
  }
  if (error.field_violations?.length) {
    answer.fields = error.field_violations.map((violation) => `${violation.field}: ${violation.description}`);
  }
  if (error.helps?.length) answer.help_url = error.helps[0].url;
  return answer;
}

async function revoke(control) {
  const response = await fetch(`${control}/tokens/revoke`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: '{}',
    signal: AbortSignal.timeout(TIMEOUT),
  });
  if (!response.ok) throw new Error(`revoking the tokens was answered with HTTP ${response.status}`);
}

// The same value with the keys of every object sorted, so that the three programs print the same bytes.
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const keys = Object.keys(value).sort();
  return Object.fromEntries(keys.map((key) => [key, sorted(value[key])]));
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
