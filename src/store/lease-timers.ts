// The clocks of leases. A lease that was granted is armed; keepAlive winds it up again; when it runs down, `ended` is
// told once. Clocks are kept in memory only: a driver that starts on old data arms every lease it finds anew.

export class LeaseTimers {
  readonly #timers = new Map<string, { readonly ttlSeconds: number; timer: NodeJS.Timeout }>();
  readonly #ended: (lease: string) => void;

  constructor(ended: (lease: string) => void) {
    this.#ended = ended;
  }

  arm(lease: string, ttlSeconds: number): void {
    this.disarm(lease);
    const timer = setTimeout(() => {
      this.#timers.delete(lease);
      this.#ended(lease);
    }, ttlSeconds * 1000);
    timer.unref();
    this.#timers.set(lease, { ttlSeconds, timer });
  }

  /** False when the lease is not armed: it has ended. */
  rewind(lease: string): boolean {
    const armed = this.#timers.get(lease);
    if (armed === undefined) return false;
    armed.timer.refresh();
    return true;
  }

  disarm(lease: string): void {
    clearTimeout(this.#timers.get(lease)?.timer);
    this.#timers.delete(lease);
  }

  close(): void {
    for (const lease of [...this.#timers.keys()]) this.disarm(lease);
  }
}
