// What every test here needs first.

/** The reason to skip, or false: namespaces, mounts and eBPF are root's. */
export const needsRoot = (): string | false =>
  process.getuid?.() === 0 ? false : 'needs root: network namespaces, mounts and eBPF';

let labs = 0;
/** A name of its own for each lab of each test process. */
export const labName = (): string => `t${process.pid.toString(36)}${(labs++).toString(36)}`;
