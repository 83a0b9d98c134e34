// A generation of another contract version is found in the kernel and replaced, while real guests send.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { until } from '../conformance/bed.ts';
import { CONTRACT_VERSION } from '../contract.ts';
import { openEbpfDatapath } from './ebpf.ts';
import type { Attachment } from './loader.ts';
import { closeFd, openPin, stillThere } from './sys.ts';
import { Testbed, whyNoKernelTests } from './testing/testbed.ts';
import { build, flowsOf, OTHER, pings, place, type Side, within } from './testing/two-hosts.ts';
import { ALL_SAME, type Conversion, type Replaced } from './versions.ts';

const OWN = `v${CONTRACT_VERSION}`;
const BEFORE = CONTRACT_VERSION - 1;
/** One that nobody can convert. */
const STRANGE = 99;

interface Ids {
  readonly program: ReadonlySet<number>;
  readonly map: ReadonlySet<number>;
}

/** Programs and maps that are behind the pins of a generation. */
function idsBelow(directory: string): Ids {
  const ids = { program: new Set<number>(), map: new Set<number>() };
  for (const file of fs.readdirSync(directory)) {
    const fd = openPin(path.join(directory, file))!;
    const text = fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
    closeFd(fd);
    const program = /^prog_id:\s*(\d+)$/m.exec(text)?.[1];
    const map = /^map_id:\s*(\d+)$/m.exec(text)?.[1];
    if (program !== undefined) ids.program.add(Number(program));
    if (map !== undefined) ids.map.add(Number(map));
  }
  return ids;
}

/** Nothing of it is attached, pinned or held: it is no more. */
async function areGone(ids: Ids): Promise<void> {
  assert.ok(ids.program.size >= 4 && ids.map.size >= 15, `${ids.program.size} programs, ${ids.map.size} maps`);
  const left = () => [
    ...[...ids.program].filter((id) => stillThere('program', id)).map((id) => `program ${id}`),
    ...[...ids.map].filter((id) => stillThere('map', id)).map((id) => `map ${id}`),
  ];
  await until(() => left().length === 0);
  assert.deepEqual(left(), []);
}

/** The kernel has two files of its own there. */
const generations = (side: Side): string[] => fs.readdirSync(side.pins).filter((name) => !name.endsWith('.debug'));

const hooksBelow = (side: Side): string[] =>
  fs
    .readdirSync(path.join(side.pins, OWN))
    .filter((file) => /^(?:link|filter)-/.test(file))
    .sort();

/** What is attached in the way that was asked for, and nothing in the other. */
function attachedOnce(side: Side, attachment: Attachment): void {
  const filters = ['vm', 'ul', 'aya-vx', 'aya-inj1'].map((name) => {
    const listed = side.host.run('tc', 'filter', 'show', 'dev', name, 'ingress');
    return listed.split('\n').filter((line) => line.includes('direct-action')).length;
  });
  assert.deepEqual(filters, Array(4).fill(attachment === 'filter' ? 1 : 0));
  const kind = attachment === 'filter' ? 'filter' : 'link';
  const programs = hooksBelow(side).map((file) => file.replace(/-\d+$/, ''));
  assert.deepEqual(
    programs,
    ['inject_ingress', 'tunnel_ingress', 'underlay_ingress', 'vm_ingress'].map((name) => `${kind}-${name}`),
  );
}

/** The running generation becomes one of that version: its agent is gone, its programs and tables stay. */
function ageTo(side: Side, version: number): Ids {
  side.datapath.close();
  const old = path.join(side.pins, `v${version}`);
  fs.renameSync(path.join(side.pins, OWN), old);
  return idsBelow(old);
}

function reopen(
  side: Side,
  attachment: Attachment,
  conversions: Readonly<Record<number, Conversion>> = { [BEFORE]: ALL_SAME },
): Replaced[] {
  const replaced: Replaced[] = [];
  const options = { ...side.options, attachment, onReplaced: (one: Replaced) => void replaced.push(one) };
  side.datapath = side.host.enter(() => openEbpfDatapath(options, conversions));
  return replaced;
}

describe('an upgrade', { skip: whyNoKernelTests(), concurrency: 1 }, () => {
  for (const [before, after] of [
    ['tcx', 'tcx'],
    ['filter', 'filter'],
    ['filter', 'tcx'],
  ] as const) {
    test(`loses no packet when the tables can be converted: ${before}, then ${after}`, async () => {
      const bed = new Testbed(`up${before}${after}`);
      await within(bed, async () => {
        const [one, two] = build(bed, 'ip4', 'hand', before);
        for (const side of [one, two]) side.datapath.install(flowsOf(side));
        one.datapath.setFlood(41, { members: [101], hosts: [2] });
        await pings(one, '10.0.0.2', '-c', '1');
        const wiring = () =>
          one.host.enter(() => {
            const { datapath } = one;
            return [datapath.plugged(), datapath.places(), datapath.floods(), datapath.hosts()];
          });
        const flows = () => one.datapath.flows().map(({ key, mask, actions }) => ({ key, mask, actions }));
        const counted = () => one.datapath.counters().find(({ kind, id }) => kind === 'portRx' && id === 101)!.packets;
        const [wired, decided, sent] = [wiring(), new Set(flows()), counted()];
        const pinging = pings(one, '10.0.0.2', '-q', '-c', '500', '-i', '0.002');
        await until(() => counted() > sent + 20);
        const old = ageTo(one, BEFORE);
        assert.deepEqual(reopen(one, after), [{ version: BEFORE, carried: true }]);
        await pinging;
        await pings(two, 'fd00::1', '-c', '2', '-i', '0.1');
        assert.deepEqual(wiring(), wired);
        assert.deepEqual(new Set(flows()), decided);
        assert.ok(sent > 0 && counted() >= sent, `${counted()} packets of ${sent}`);
        attachedOnce(one, after);
        assert.deepEqual(generations(one), [OWN]);
        await areGone(old);
      });
    });
  }

  for (const attachment of ['tcx', 'filter'] as const) {
    test(`from tables that nobody can convert drops everything until it is wired anew: ${attachment}`, async () => {
      const bed = new Testbed(`strange${attachment}`);
      await within(bed, async () => {
        const [one, two] = build(bed, 'ip4', 'hand', attachment);
        for (const side of [one, two]) side.datapath.install(flowsOf(side));
        // What a guest sends to the host itself must reach it at no time.
        one.host.ip('addr', 'add', '10.0.0.9/24', 'dev', 'vm');
        one.guest.ip('neigh', 'add', '10.0.0.9', 'lladdr', macOf(one), 'dev', 'eth0');
        const knocking = one.guest.start('ping', '-n', '-q', '-c', '300', '-i', '0.002', '-w', '2', '10.0.0.9');
        const old = ageTo(one, STRANGE);
        assert.deepEqual(reopen(one, attachment), [{ version: STRANGE, carried: false }]);
        one.host.enter(() => {
          assert.deepEqual(one.datapath.plugged(), []);
          assert.equal(one.datapath.places().size + one.datapath.hosts().size + one.datapath.flows().length, 0);
        });
        attachedOnce(one, attachment);
        await areGone(old);
        assert.match((await knocking).output, / 0 received/);
        place(one, 'ip4');
        one.datapath.install(flowsOf(one));
        await pings(two, '10.0.0.1', '-c', '2', '-i', '0.1');
      });
    });
  }

  test('that was cut short is taken up again, whatever it left', async () => {
    const bed = new Testbed('cut');
    await within(bed, async () => {
      const [one] = build(bed, 'ip4', 'hand');
      one.datapath.install(flowsOf(one));
      const pin = (...names: string[]) => path.join(one.pins, ...names);
      const old = ageTo(one, BEFORE);
      // Killed while the new generation was being filled, and long ago while an older one was being removed.
      for (const [name, map] of [
        [`new-${OWN}`, 'fragments'],
        ['old-v1', 'pending'],
      ] as const) {
        fs.mkdirSync(pin(name));
        fs.renameSync(pin(`v${BEFORE}`, map), pin(name, map));
      }
      assert.deepEqual(reopen(one, 'tcx'), [{ version: BEFORE, carried: true }]);
      assert.deepEqual(generations(one), [OWN]);
      assert.equal(one.datapath.flows().length, 3);
      await areGone(old);

      // Killed when half of the hooks were taken over.
      one.datapath.close();
      fs.mkdirSync(pin(`v${BEFORE}`));
      const [first, second] = hooksBelow(one);
      for (const hook of [first!, second!]) fs.renameSync(pin(OWN, hook), pin(`v${BEFORE}`, hook));
      assert.deepEqual(reopen(one, 'tcx'), [{ version: BEFORE, carried: true }]);
      assert.deepEqual(generations(one), [OWN]);
      assert.equal(one.datapath.flows().length, 3);
      attachedOnce(one, 'tcx');
    });
  });

  test('converts entry by entry where a layout has changed', async () => {
    const bed = new Testbed('convert');
    await within(bed, async () => {
      const [one, two] = build(bed, 'ip4', 'hand');
      for (const side of [one, two]) side.datapath.install(flowsOf(side));
      const strange = ageTo(one, STRANGE);
      // The port of the other guest was another number then.
      const ports: Conversion['delivery'] = (key, value) => (key[0] === OTHER - 101 ? undefined : [key, value]);
      const conversions = { [STRANGE]: { ...ALL_SAME, delivery: ports } };
      assert.deepEqual(reopen(one, 'tcx', conversions), [{ version: STRANGE, carried: true }]);
      assert.deepEqual(
        one.host.enter(() => [...one.datapath.places().keys()]),
        [101],
      );
      await areGone(strange);
      one.datapath.setDelivery(OTHER - 101, { kind: 'remote', host: 2 });
      await pings(one, '10.0.0.2', '-c', '2', '-i', '0.1');
      const again = ageTo(one, STRANGE);
      const wrong = { [STRANGE]: { ports: (key: Uint8Array) => [key, new Uint8Array(3)] as const } };
      assert.throws(() => reopen(one, 'tcx', wrong), /conversion of table ports makes entries of the wrong size/);
      // The old one is as it was.
      await pings(one, '10.0.0.2', '-c', '2', '-i', '0.1');
      reopen(one, 'tcx', conversions);
      await areGone(again);
    });
  });
});

function macOf(side: Side): string {
  const [link] = JSON.parse(side.host.ip('-j', 'link', 'show', 'dev', 'vm')) as [{ address: string }];
  return link.address;
}
