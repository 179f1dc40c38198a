// Validates an OpenAPI document and writes TypeScript types of it: node openapi/generate.mjs <target.d.ts> < document.
// Prints what is wrong with it, as JSON.
import { writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { Validator } from '@seriousme/openapi-schema-validator';
import openapiTS, { astToString } from 'openapi-typescript';

const document = JSON.parse(await text(process.stdin));
const { valid, errors = [] } = await new Validator({ strict: true }).validate(structuredClone(document));
let fault = null;
try {
  writeFileSync(process.argv[2], astToString(await openapiTS(document, { defaultNonNullable: false })));
} catch (error) {
  fault = error.message;
}
console.log(JSON.stringify({ valid, errors, fault }));
