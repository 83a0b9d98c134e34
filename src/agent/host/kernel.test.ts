import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleId } from '../../topology/testing/samples.ts';
import { kernelOptions } from './kernel.ts';

const hostId = sampleId('host', 1);
const settings = { runDirectory: '/run/x', tunnelUdpPort: 7000 };

test('the settings of the agent reach the data path', () => {
  assert.deepEqual(kernelOptions({ ...settings, encapTx: 'device' }, hostId), {
    pinDirectory: `/run/x/bpf/${hostId}`,
    underlayInterfaces: [],
    tunnelUdpPort: 7000,
    transmit: 'device',
  });
});

test('tunnel packets are built by hand unless a setting says otherwise', () => {
  assert.equal(kernelOptions(settings, hostId).transmit, 'hand');
});
