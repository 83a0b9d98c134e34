import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLOUD, Ids, joiningOperations, operationsOf, vmsOf } from './cloud.ts';

const hosts = new Map(CLOUD.hosts.map((name, at) => [name, { id: `host ${name}`, address: `192.0.2.${at}` }]));

test('VMs have names that fit an interface, and addresses of their own', () => {
  const vms = vmsOf(CLOUD);
  for (const key of ['name', 'mac', 'address', 'address6'] as const) {
    assert.equal(new Set(vms.map((vm) => vm[key])).size, vms.length, key);
  }
  for (const { name } of vms) assert.ok(name.length <= 15, name);
});

test('each tenant has a VM on every host', () => {
  const placed = CLOUD.tenants.map(({ bridges }) => new Set(bridges.flatMap(({ vms }) => vms.map(({ host }) => host))));
  for (const here of placed) assert.deepEqual([...here].toSorted(), CLOUD.hosts);
});

test('the modified EUI-64 of the MAC makes the IPv6 address', () => {
  const [vm] = vmsOf(CLOUD);
  assert.equal(vm!.mac, '02:00:01:01:00:01');
  assert.equal(vm!.address6, 'fd00:1:1::1ff:fe01:1');
});

test('every object that another one names is created in the same transaction', () => {
  const operations = operationsOf(CLOUD, new Ids(), hosts);
  const created = new Set(operations.flatMap((each) => (each.op === 'create' && each.value.id ? [each.value.id] : [])));
  for (const { op, kind, value } of operations as { op: string; kind: string; value: Record<string, unknown> }[]) {
    for (const field of ['projectId', 'deviceId', 'routerId', 'bridgeId', 'portId', 'peerId']) {
      const id = value[field];
      if (id !== undefined) assert.ok(created.has(id as string), `${op} ${kind}: ${field}`);
    }
  }
});

test('before the tenants are joined, the provider has no route to the second one', () => {
  const ids = new Ids();
  const destinations = (operations: ReturnType<typeof operationsOf>) =>
    operations
      .flatMap((each) => (each.op === 'create' && each.kind === 'route' ? [each.value] : []))
      .filter(({ routerId }) => routerId === ids.of('provider'))
      .map(({ destination }) => destination);
  assert.deepEqual(destinations(operationsOf(CLOUD, ids, hosts)), ['10.1.0.0/16', 'fd00:1::/32']);
  assert.deepEqual(destinations(joiningOperations(CLOUD, ids)), ['10.2.0.0/16', 'fd00:2::/32']);
});
