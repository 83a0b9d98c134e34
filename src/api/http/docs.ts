// GET /v1/openapi.json and GET /docs: the description of the API, for programs and for people. Both without a token:
// they tell nothing of what is in the store.

import { createHash } from 'node:crypto';
import { openApi } from '../openapi/document.ts';
import { PAGE, PAGE_SCRIPT } from '../openapi/page.ts';
import type { Parts } from '../parts.ts';
import type { App } from './caller.ts';

export function docsRoutes(app: App, { version }: Pick<Parts, 'version'>): void {
  const document = JSON.stringify(openApi(version));
  const script = createHash('sha256').update(PAGE_SCRIPT).digest('base64');
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${script}'`,
    "style-src 'unsafe-inline'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');

  app.get('/v1/openapi.json', (context) => context.body(document, 200, { 'Content-Type': 'application/json' }));
  app.get('/docs', (context) => context.html(PAGE, 200, { 'Content-Security-Policy': policy }));
}
