// Ayatori on a lab: one server and one agent for each host, as an operator would start them.

import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '../client/client.ts';
import type { Host, Lab } from '../lab/lab.ts';
import type { Process } from '../lab/process.ts';
import { NeverWill, waitFor } from '../lab/wait.ts';

const PROGRAM = fileURLToPath(new URL('../main.ts', import.meta.url));
const API_PORT = 7780;

/** The part of an audit that is looked at here. */
type Audit = Awaited<ReturnType<Client['audit']>>;

export interface Hypervisor {
  readonly host: Host;
  readonly id: string;
  /** The living or last agent. */
  agent: Process;
}

export class Deployment {
  readonly lab: Lab;
  readonly client: Client;
  readonly hypervisors: ReadonlyMap<string, Hypervisor>;
  readonly server: Host;
  /** The living or last server. */
  serverProcess: Process;
  /** How to reach the server from the machine. */
  readonly access: { readonly url: string; readonly fingerprint: string };

  private constructor(lab: Lab, server: Server, hypervisors: ReadonlyMap<string, Hypervisor>) {
    this.lab = lab;
    this.server = server.host;
    this.serverProcess = server.process;
    this.access = server.access;
    this.client = server.client;
    this.hypervisors = hypervisors;
  }

  /**
   * Starts the server in a namespace on the underlay, joins the hosts, and waits until all are alive. The server is
   * reached from this process at port `port` of the machine's loopback; 0 takes any.
   */
  static async start(lab: Lab, hostNames: readonly string[], port = 0): Promise<Deployment> {
    const server = await startServer(lab, port);
    const hypervisors = new Map<string, Hypervisor>();
    const deployment = new Deployment(lab, server, hypervisors);
    for (const name of hostNames) {
      const { id } = await deployment.client.create('host', { name });
      const { joinToken } = await deployment.client.joinToken(id);
      const host = await lab.host(name);
      hypervisors.set(name, { host, id, agent: await startAgent(host, joinToken) });
    }
    await deployment.waitAlive();
    return deployment;
  }

  hypervisor(name: string): Hypervisor {
    const found = this.hypervisors.get(name);
    if (!found) throw new Error(`there is no host ${name} in this deployment`);
    return found;
  }

  /** Starts the agents of these hosts again; the ones before must have ended. Comes back when all are alive. */
  async restartAgents(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const hypervisor = this.hypervisor(name);
      hypervisor.agent = await startAgent(hypervisor.host);
    }
    await this.waitAlive();
  }

  /** Starts the server again; the one before must have ended. Comes back when every host is counted alive by it. */
  async restartServer(): Promise<void> {
    this.serverProcess = await runServer(this.server);
    await this.waitAlive();
  }

  /**
   * Waits until every agent is connected and forwards by some revision; `alive` alone outlives a killed agent for as
   * long as its lease. An agent that ends is an error at once.
   */
  async waitAlive(): Promise<void> {
    for (const [name, { id, agent }] of this.hypervisors) {
      await waitFor(
        async () => {
          this.lab.assertOpen();
          if (!agent.running) throw new NeverWill(`the agent of ${name} ended:\n${lastLines(agent.log())}`);
          const { status } = await this.client.get('host', id);
          return status?.alive && status.revision !== undefined;
        },
        { what: `the agent of ${name} to be alive`, deadlineMs: 20_000 },
      );
    }
  }

  /** Waits until every host forwards by `revision`; throws and names those that do not. Gives the time that it took. */
  async live(revision: number, timeoutSeconds = 15): Promise<number> {
    const start = performance.now();
    const { done, hosts } = await this.client.applied(revision, timeoutSeconds);
    if (!done) {
      const late = hosts.filter((host) => !host.alive || (host.revision ?? 0) < revision);
      const names = late.map((host) => `${host.name} (${host.alive ? `at ${host.revision ?? 0}` : 'not there'})`);
      throw new Error(`revision ${revision} is not live after ${timeoutSeconds} s on ${names.join(', ')}`);
    }
    return performance.now() - start;
  }

  /** Waits until these ports are delivered; throws with the reasons of those that are not. */
  async portsUp(ids: readonly string[], deadlineMs = 20_000): Promise<void> {
    await waitFor(
      async () => {
        this.lab.assertOpen();
        const ports = await Promise.all(ids.map((id) => this.client.get('port', id)));
        const down = ports.filter(({ status }) => status?.state !== 'up');
        if (down.length === 0) return true;
        throw new Error(
          down
            .map(({ name, status }) => `${name} is ${status?.state ?? 'unknown'} ${status?.why ?? ''}`.trim())
            .join(', '),
        );
      },
      { what: 'ports to be up', deadlineMs },
    );
  }

  /**
   * Compares every flow of every host with a fresh computation. What is being rechecked may differ for a moment, so it
   * looks again until there is no difference or the time is over.
   */
  async audit(deadlineMs = 5_000): Promise<readonly (Audit & { readonly name: string })[]> {
    const look = () =>
      Promise.all([...this.hypervisors].map(async ([name, { id }]) => ({ name, ...(await this.client.audit(id)) })));
    let reports = await look();
    const end = performance.now() + deadlineMs;
    while (reports.some((report) => report.differences.length > 0) && performance.now() < end) reports = await look();
    return reports;
  }

  /** Lines of level warn and error, and what is no log line at all, of every program of ours; `expected` ones left out. */
  troubles(expected: readonly RegExp[] = []): string[] {
    return this.lab.processes
      .filter(({ label }) => label.endsWith(' server') || label.endsWith(' agent'))
      .flatMap(({ label, logPath }) => troublesIn(readFileSync(logPath, 'utf8')).map((line) => `${label}: ${line}`))
      .filter((line, at, all) => all.indexOf(line) === at && !expected.some((pattern) => pattern.test(line)));
  }
}

interface Server {
  readonly host: Host;
  readonly process: Process;
  readonly client: Client;
  readonly access: Deployment['access'];
}

async function startServer(lab: Lab, port: number): Promise<Server> {
  const host = await lab.host('server');
  const process = await runServer(host);
  const exposed = await lab.expose(host.namespace, { address: host.address, port: API_PORT }, port);
  const url = `https://127.0.0.1:${exposed.port}`;
  const tokenPath = join(stateDirectory(host), 'admin.token');
  const certificatePath = join(stateDirectory(host), 'server.crt');
  return waitFor(
    async () => {
      lab.assertOpen();
      if (!process.running) throw new NeverWill(`the server ended:\n${lastLines(process.log())}`);
      if (!existsSync(tokenPath) || !existsSync(certificatePath)) throw new Error(lastLines(process.log()));
      const certificate = new X509Certificate(readFileSync(certificatePath));
      const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
      const client = new Client({ url, fingerprint, token: readFileSync(tokenPath, 'utf8').trim() });
      await client.version();
      return { host, process, client, access: { url, fingerprint } };
    },
    { what: 'the server to answer', deadlineMs: 20_000, everyMs: 50 },
  );
}

const stateDirectory = (host: Host): string => join(host.directory, 'state');

function runServer(host: Host): Promise<Process> {
  const listen = `${host.address}:${API_PORT}`;
  return host.namespace.spawn('server', [
    ...program('server'),
    ...['--state-dir', stateDirectory(host), '--listen', listen],
  ]);
}

function startAgent(host: Host, joinToken?: string): Promise<Process> {
  const stateDir = stateDirectory(host);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const joining = joinToken === undefined ? [] : ['--join-token', joinToken];
  return host.namespace.spawn('agent', [
    ...program('agent'),
    ...['--state-dir', stateDir, '--run-dir', host.directory, ...joining],
  ]);
}

const program = (command: string): string[] => [process.execPath, PROGRAM, command];

const lastLines = (text: string): string => text.trim().split('\n').slice(-10).join('\n');

/** Exported for its test: lines of a log that need a look. */
export function troublesIn(log: string): string[] {
  return log.split('\n').filter((line) => {
    if (line === '') return false;
    try {
      const { level } = JSON.parse(line) as { level?: unknown };
      return level !== 'info' && level !== 'debug';
    } catch {
      return true;
    }
  });
}
