// What every object of the model has, and the text formats that schemas speak of. A schema is plain JSON Schema:
// types, request checks, API documentation and command-line flags all come from it.
//
// Keywords that carry meaning here: `default` (filled in on create), `readOnly` (the server assigns it),
// `references` (the value, or each item, is the id of an object of that kind).

import Type, { type TProperties } from 'typebox';
import Format from 'typebox/format';
import { parseInterfaceAddress, parseIp, parseMac, parsePrefix } from '../packet/address.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Format name -> what a value must look like, for error messages. */
export const FORMAT_WORDS: Readonly<Record<string, string>> = {
  id: 'a UUID in lower case',
  mac: 'a MAC address like 02:00:00:00:00:01',
  ip: 'an IPv4 or IPv6 address',
  prefix: 'a prefix without host bits, like 10.0.1.0/24 or fd00:1::/64',
  interfaceAddress: 'an address with its prefix length, like 10.0.1.1/24 or fd00:1::1/64',
  interfaceName: 'a network interface name of at most 15 characters',
};

Format.Set('id', (text) => UUID.test(text));
Format.Set('mac', (text) => parseMac(text) !== undefined);
Format.Set('ip', (text) => parseIp(text) !== undefined);
Format.Set('prefix', (text) => text.includes('/') && parsePrefix(text) !== undefined);
Format.Set('interfaceAddress', (text) => text.includes('/') && parseInterfaceAddress(text) !== undefined);
Format.Set('interfaceName', (text) => /^[^\s/:]{1,15}$/.test(text) && text !== '.' && text !== '..');

export type Id = string;

export const text = (description: string, maxLength = 255) => Type.String({ description, maxLength });
export const id = (references: string, description: string) => Type.String({ format: 'id', references, description });
export const ids = (references: string, description: string) =>
  Type.Array(Type.String({ format: 'id' }), { references, description, uniqueItems: true, default: [] });
export const mac = (description: string) => Type.String({ format: 'mac', description });
export const ip = (description: string) => Type.String({ format: 'ip', description });
export const prefix = (description: string) => Type.String({ format: 'prefix', description });
export const interfaceAddress = (description: string) => Type.String({ format: 'interfaceAddress', description });
export const listOf = <T extends ReturnType<typeof ip>>(item: T, description: string) =>
  Type.Array(item, { description, uniqueItems: true, default: [] });
export const flag = (value: boolean, description: string) => Type.Boolean({ description, default: value });
export const integer = (minimum: number, maximum: number, description: string) =>
  Type.Integer({ minimum, maximum, description });
export const integerOr = (value: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ minimum, maximum, description, default: value });
export const mtuBytes = (description: string) => integer(576, 65535, description);
export const adminUp = flag(true, 'false: every packet is dropped');
export const inboundChainId = Type.Optional(id('chain', 'rules for what comes in'));
export const outboundChainId = Type.Optional(id('chain', 'rules for what goes out'));

/** Properties of every object, before its own. */
const COMMON = {
  id: Type.String({ format: 'id', description: 'may be chosen on create, so that a retry is safe' }),
  name: Type.String({ description: 'need not be unique', maxLength: 255, default: '' }),
  projectId: Type.Optional(id('project', 'the tenant it belongs to; none: the operator')),
  tags: Type.Array(Type.String({ maxLength: 64 }), { description: 'free words', uniqueItems: true, default: [] }),
  revision: Type.Integer({ readOnly: true, description: 'configuration revision of its last change' }),
  createdAt: Type.String({ readOnly: true, description: 'RFC 3339' }),
  updatedAt: Type.String({ readOnly: true, description: 'RFC 3339' }),
};

/** The schema of a stored object: no other properties, `default`s present. */
export const resource = <T extends TProperties>(properties: T, description: string) =>
  Type.Object({ ...COMMON, ...properties }, { additionalProperties: false, description });
