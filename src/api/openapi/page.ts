// The OpenAPI document as a page: calls by subject, with their parameters, bodies and answers, and a form to try them.
// It asks nobody but this server. The token that is typed in stays in the page.

const STYLE = `
:root { color-scheme: light dark; --line: #8885; --dim: #888; --accent: #2a7; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
header { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; position: sticky; top: 0; background: Canvas; padding: .5rem 0; }
h1 { font-size: 1.3rem; margin: 0 auto 0 0; }
h2 { font-size: 1.05rem; margin: 1.5rem 0 .3rem; border-bottom: 1px solid var(--line); }
details { border-bottom: 1px solid var(--line); padding: .2rem 0; }
summary { cursor: pointer; }
summary b { display: inline-block; width: 4.5rem; color: var(--accent); }
code, pre, input, textarea { font: 13px/1.45 ui-monospace, monospace; }
pre { overflow: auto; border: 1px solid var(--line); padding: .5rem; max-height: 30rem; }
table { border-collapse: collapse; } td { padding: .1rem .8rem .1rem 0; vertical-align: top; }
textarea { width: 100%; box-sizing: border-box; min-height: 5rem; }
.dim { color: var(--dim); }
`;

const SCRIPT = `
'use strict';
const make = (tag, fields, ...children) => {
  const element = Object.assign(document.createElement(tag), fields);
  element.append(...children.filter((child) => child !== undefined));
  return element;
};
const token = document.getElementById('token');
const search = document.getElementById('search');
const main = document.querySelector('main');

const resolve = (api, schema) => schema.$ref ? resolve(api, schema.$ref.split('/').slice(1).reduce((at, name) => at[name], api)) : schema;

/* A schema in words, indented by depth. */
function words(api, given, depth) {
  const schema = resolve(api, given);
  const pad = '  '.repeat(depth + 1);
  if (schema.anyOf || schema.oneOf) return (schema.anyOf || schema.oneOf).map((one) => words(api, one, depth)).join(' | ');
  if (schema.enum) return schema.enum.join(' | ');
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.type === 'array') return '[' + words(api, schema.items || {}, depth) + ', ...]';
  if (!schema.properties) {
    const range = schema.maximum === undefined ? '' : ' ' + (schema.minimum || 0) + '-' + schema.maximum;
    return (schema.format || schema.type || 'any') + range;
  }
  const required = schema.required || [];
  const lines = Object.entries(schema.properties).map(([name, below]) => {
    const about = resolve(api, below).description;
    const mark = required.includes(name) ? '' : '?';
    return pad + name + mark + ': ' + words(api, below, depth + 1) + (about ? '   // ' + about : '');
  });
  return '{\\n' + lines.join('\\n') + '\\n' + '  '.repeat(depth) + '}';
}

function form(api, path, method, call) {
  const inputs = call.parameters.map((parameter) => [parameter, make('input', { placeholder: parameter.schema.description || parameter.schema.type || '' })]);
  const body = call.requestBody ? make('textarea', { value: '{}' }) : undefined;
  const answer = make('pre', { hidden: true });
  const button = make('button', { textContent: 'Send' });
  button.onclick = async () => {
    const url = new URL(path.replace(/\\{(\\w+)\\}/g, (_, name) => encodeURIComponent(inputs.find(([one]) => one.name === name)[1].value)), location.origin);
    const headers = {};
    if (token.value) headers.authorization = 'Bearer ' + token.value;
    for (const [parameter, input] of inputs) {
      if (input.value === '') continue;
      if (parameter.in === 'query') url.searchParams.set(parameter.name, input.value);
      if (parameter.in === 'header') headers[parameter.name] = input.value;
    }
    answer.hidden = false;
    answer.textContent = '...';
    try {
      const response = await fetch(url, { method: method.toUpperCase(), headers, body: body && body.value });
      const isStream = (response.headers.get('content-type') || '').includes('ndjson');
      const text = isStream ? await firstOf(response) : await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), undefined, 2); } catch {}
      answer.textContent = response.status + ' ' + response.statusText + '\\n' + shown;
    } catch (error) {
      answer.textContent = String(error);
    }
  };
  const rows = inputs.map(([parameter, input]) => make('tr', {}, make('td', {}, make('code', { textContent: parameter.name })), make('td', { className: 'dim', textContent: parameter.in }), make('td', {}, input)));
  return [make('table', {}, ...rows), body, button, answer];
}

/* A watch has no end: what comes first is shown. */
async function firstOf(response) {
  const reader = response.body.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return new TextDecoder().decode(value);
}

function shown(api, path, method, call) {
  const details = make('details', {}, make('summary', {}, make('b', { textContent: method.toUpperCase() }), make('code', { textContent: path }), ' ' + call.summary));
  details.ontoggle = () => {
    if (!details.open || details.children.length > 1) return;
    const body = call.requestBody && call.requestBody.content['application/json'].schema;
    const answers = Object.entries(call.responses).map(([status, given]) => {
      const response = resolve(api, given);
      const schema = response.content && Object.values(response.content)[0].schema;
      const text = status < 400 && schema ? words(api, schema, 0) : '';
      return make('tr', {}, make('td', { textContent: status }), make('td', {}, response.description, text ? make('pre', { textContent: text }) : ''));
    });
    details.append(
      make('p', { className: 'dim', textContent: call['x-roles'] ? 'roles: ' + call['x-roles'] : 'without a token' }),
      ...(body ? ['Body', make('pre', { textContent: words(api, body, 0) })] : []),
      'Answers', make('table', {}, ...answers),
      'Try it', ...form(api, path, method, call).filter((one) => one !== undefined),
    );
  };
  return details;
}

fetch('/v1/openapi.json').then((response) => response.json()).then((api) => {
  document.querySelector('h1').textContent = api.info.title + ' ' + api.info.version;
  const sections = api.tags.map(({ name, description }) => {
    const calls = Object.entries(api.paths).flatMap(([path, methods]) => Object.entries(methods)
      .filter(([, call]) => call.tags[0] === name)
      .map(([method, call]) => shown(api, path, method, call)));
    return make('section', {}, make('h2', { textContent: name }), make('p', { className: 'dim', textContent: description || '' }), ...calls);
  });
  main.replaceChildren(...sections);
  search.oninput = () => {
    for (const section of sections) {
      let found = false;
      for (const details of section.querySelectorAll('details')) {
        details.hidden = !details.querySelector('summary').textContent.toLowerCase().includes(search.value.toLowerCase());
        found ||= !details.hidden;
      }
      section.hidden = !found;
    }
  };
}, (error) => { main.textContent = 'no answer from this server: ' + error; });
`;

export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Ayatori API</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Ayatori</h1>
<input id="search" type="search" placeholder="search calls" aria-label="search calls">
<input id="token" type="password" placeholder="token" aria-label="token" autocomplete="off">
<a href="/v1/openapi.json">openapi.json</a>
</header>
<main></main>
<script>${SCRIPT}</script>
</body>
</html>
`;

/** What the script is known by to a Content-Security-Policy. */
export const PAGE_SCRIPT = SCRIPT;
