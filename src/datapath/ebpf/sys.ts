// The only foreign functions of the house: libbpf.so.1, and the few calls of libc that Node does not offer.
// Everything is synchronous but `pollReadable`. Numbers are file descriptors and interface indices of the calling
// process and its network namespace. A typed array that is handed over is used in place; what C keeps a pointer to
// lies in an Arena. Long on purpose: whatever can crash the process is in this one file.

import fs from 'node:fs';
import os from 'node:os';
import koffi from 'koffi';

const E = os.constants.errno;

/** A system call or libbpf call that failed; `code` is the name of its errno. */
export class SysError extends Error {
  override readonly name = 'SysError';
  readonly errno: number;
  readonly code: string;
  constructor(what: string, errno: number) {
    const code = Object.entries(E).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`;
    super(`${what}: ${code}`);
    this.errno = errno;
    this.code = code;
  }
}

const libc = koffi.load('libc.so.6');
const LIBBPF = 'libbpf.so.1';

function loadLibbpf(): ReturnType<typeof koffi.load> {
  try {
    return koffi.load(LIBBPF);
  } catch (cause) {
    throw new Error(`${LIBBPF} cannot be loaded: install it (Debian: libbpf1)`, { cause });
  }
}
const libbpf = loadLibbpf();

const c = {
  malloc: libc.func('void *malloc(size_t bytes)'),
  free: libc.func('void free(void *pointer)'),
  close: libc.func('int close(int fd)'),
  mmap: libc.func('void *mmap(void *at, size_t bytes, int protection, int flags, int fd, int64_t offset)'),
  munmap: libc.func('int munmap(void *at, size_t bytes)'),
  poll: libc.func('int poll(void *fds, unsigned long count, int timeoutMs)'),
  eventfd: libc.func('int eventfd(unsigned int initial, int flags)'),
  write: libc.func('int64_t write(int fd, const void *bytes, size_t count)'),
  read: libc.func('int64_t read(int fd, void *bytes, size_t count)'),
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *address, unsigned int bytes)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, unsigned int bytes)'),
  sendmmsg: libc.func('int sendmmsg(int fd, void *messages, unsigned int count, int flags)'),
  setns: libc.func('int setns(int fd, int kind)'),
  recvmsg: libc.func('int64_t recvmsg(int fd, void *message, int flags)'),
  send: libc.func('int64_t send(int fd, const void *bytes, size_t count, int flags)'),
  ioctl: libc.func('int ioctl(int fd, unsigned long request, void *argument)'),
  ifNameToIndex: libc.func('unsigned int if_nametoindex(const char *name)'),
  ifIndexToName: libc.func('void *if_indextoname(unsigned int index, void *name)'),
};

const b = {
  setPrint: libbpf.func('void *libbpf_set_print(void *print)'),
  openFile: libbpf.func('void *bpf_object__open_file(const char *path, const void *options)'),
  loadObject: libbpf.func('int bpf_object__load(void *object)'),
  closeObject: libbpf.func('void bpf_object__close(void *object)'),
  nextMap: libbpf.func('void *bpf_object__next_map(const void *object, const void *map)'),
  mapName: libbpf.func('const char *bpf_map__name(const void *map)'),
  mapFd: libbpf.func('int bpf_map__fd(const void *map)'),
  mapReuseFd: libbpf.func('int bpf_map__reuse_fd(void *map, int fd)'),
  mapKeySize: libbpf.func('uint32_t bpf_map__key_size(const void *map)'),
  mapValueSize: libbpf.func('uint32_t bpf_map__value_size(const void *map)'),
  mapMaxEntries: libbpf.func('uint32_t bpf_map__max_entries(const void *map)'),
  findProgram: libbpf.func('void *bpf_object__find_program_by_name(const void *object, const char *name)'),
  setAutoload: libbpf.func('int bpf_program__set_autoload(void *program, bool autoload)'),
  programFd: libbpf.func('int bpf_program__fd(const void *program)'),
  objGet: libbpf.func('int bpf_obj_get(const char *path)'),
  programOfId: libbpf.func('int bpf_prog_get_fd_by_id(uint32_t id)'),
  mapOfId: libbpf.func('int bpf_map_get_fd_by_id(uint32_t id)'),
  objPin: libbpf.func('int bpf_obj_pin(int fd, const char *path)'),
  lookup: libbpf.func('int bpf_map_lookup_elem(int fd, const void *key, void *value)'),
  lookupDelete: libbpf.func('int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)'),
  update: libbpf.func('int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)'),
  delete: libbpf.func('int bpf_map_delete_elem(int fd, const void *key)'),
  lookupBatch: libbpf.func(
    'int bpf_map_lookup_batch(int fd, void *from, void *next, void *keys, void *values, void *count, const void *options)',
  ),
  linkCreate: libbpf.func('int bpf_link_create(int program, int target, int attachType, const void *options)'),
  linkUpdate: libbpf.func('int bpf_link_update(int link, int program, const void *options)'),
  tcHookCreate: libbpf.func('int bpf_tc_hook_create(void *hook)'),
  tcAttach: libbpf.func('int bpf_tc_attach(const void *hook, void *options)'),
  tcDetach: libbpf.func('int bpf_tc_detach(const void *hook, const void *options)'),
  testRun: libbpf.func('int bpf_prog_test_run_opts(int program, void *options)'),
};

// Its print-outs would go to stderr; every failure is an error here.
b.setPrint(null);

/** libc: -1 and errno. */
function checked(what: string, result: number): number {
  if (result < 0) throw new SysError(what, koffi.errno());
  return result;
}
/** libbpf: a negative errno. */
function checkedBpf(what: string, result: number): number {
  if (result < 0) throw new SysError(what, -result);
  return result;
}

/** Memory that does not move, for structs with pointers in them. */
export class Arena {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  constructor(length: number) {
    this.address = c.malloc(length) as bigint;
    const buffer = koffi.view(this.address, length);
    this.bytes = new Uint8Array(buffer).fill(0);
    this.view = new DataView(buffer);
  }
  pointer(at: number, target: number): void {
    this.view.setBigUint64(at, this.address + BigInt(target), true);
  }
  /** Nothing of it may be touched afterwards. */
  free(): void {
    c.free(this.address);
  }
}

export const closeFd = (fd: number): void => void c.close(fd);

// ---- namespaces ------------------------------------------------------------------------------------------------

const CLONE_NEWNET = 0x40000000;

/**
 * Runs `work` in another network namespace (the path of its file): what it opens, attaches and spawns belongs there.
 * Only for work that does not wait: the thread goes back when it returns.
 */
export function inNetworkNamespace<T>(file: string, work: () => T): T {
  const own = fs.openSync(`/proc/self/task/${process.pid}/ns/net`, 'r');
  const other = fs.openSync(file, 'r');
  try {
    checked(`entering ${file}`, c.setns(other, CLONE_NEWNET));
    try {
      return work();
    } finally {
      checked('going back to the own network namespace', c.setns(own, CLONE_NEWNET));
    }
  } finally {
    fs.closeSync(other);
    fs.closeSync(own);
  }
}

// ---- interfaces ------------------------------------------------------------------------------------------------

/** Index of a network interface; undefined when there is none of that name. */
export function interfaceIndex(name: string): number | undefined {
  const index = c.ifNameToIndex(name) as number;
  return index === 0 ? undefined : index;
}

export function requireInterface(name: string): number {
  const index = interfaceIndex(name);
  if (index === undefined) throw new Error(`there is no interface ${name} on this host`);
  return index;
}

export function interfaceName(index: number): string | undefined {
  const name = new Uint8Array(64);
  if (!c.ifIndexToName(index, name)) return undefined;
  return Buffer.from(name).toString('latin1', 0, name.indexOf(0));
}

const SIOCETHTOOL = 0x8946;
const ETHTOOL_GET_DRIVER = 0x3;
const ETHTOOL_SET_GRO = 0x2c;
const DRIVER_NAME_AT = 4;
const DRIVER_NAME_BYTES = 32;

function ethtool(name: string, command: Uint8Array): Uint8Array {
  const IFREQ_BYTES = 40;
  const arena = new Arena(IFREQ_BYTES + command.length);
  const fd = checked('socket', c.socket(2, 2, 0));
  try {
    arena.bytes.set(Buffer.from(name, 'latin1').subarray(0, 15));
    arena.bytes.set(command, IFREQ_BYTES);
    arena.pointer(16, IFREQ_BYTES);
    checked(`ethtool ${name}`, c.ioctl(fd, SIOCETHTOOL, arena.address));
    return arena.bytes.slice(IFREQ_BYTES);
  } finally {
    c.close(fd);
    arena.free();
  }
}

/** The kernel driver of an interface, like `veth` or `tun`; undefined when it has none to tell. */
export function interfaceDriver(name: string): string | undefined {
  const command = new Uint8Array(196);
  command[0] = ETHTOOL_GET_DRIVER;
  try {
    const answer = ethtool(name, command);
    const text = Buffer.from(answer.subarray(DRIVER_NAME_AT, DRIVER_NAME_AT + DRIVER_NAME_BYTES)).toString('latin1');
    return text.slice(0, text.indexOf('\0'));
  } catch (error) {
    if (error instanceof SysError) return undefined;
    throw error;
  }
}

export function switchGroOff(name: string): void {
  const command = new Uint8Array(8);
  command[0] = ETHTOOL_SET_GRO;
  ethtool(name, command);
}

// ---- packet socket ---------------------------------------------------------------------------------------------

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const PACKET_QDISC_BYPASS = 20;

/** A raw socket that sends on one interface, a virtio-net header in front of each frame; it receives nothing. */
export function openPacketSocket(ifindex: number): number {
  // Protocol 0: nothing is received, and the kernel reads the ethertype of what is sent from the frame.
  const fd = checked('socket(AF_PACKET)', c.socket(AF_PACKET, SOCK_RAW, 0));
  const one = new Uint8Array([1, 0, 0, 0]);
  checked('setsockopt(PACKET_VNET_HDR)', c.setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, one, 4));
  checked('setsockopt(PACKET_QDISC_BYPASS)', c.setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, one, 4));
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setInt32(4, ifindex, true);
  checked('bind(AF_PACKET)', c.bind(fd, new Uint8Array(address.buffer), 20));
  return fd;
}

const ETH_P_ALL_NETWORK_ORDER = 0x0300;
const PACKET_AUXDATA = 8;
const PACKET_IGNORE_OUTGOING = 23;
const AUXDATA_VLAN_VALID = 0x10;
const VNET_BYTES = 10;
const MSG_DONTWAIT = 0x40;
const CAPTURE = { vector: 64, control: 96, controlBytes: 64, data: 256, dataBytes: 128 * 1024 } as const;

/** A raw socket of one interface, for tests: sends frames and captures those that come in, tags in line. */
export class CaptureSocket {
  readonly #fd: number;
  readonly #arena = new Arena(CAPTURE.data + CAPTURE.dataBytes);

  constructor(ifindex: number) {
    this.#fd = checked('socket(AF_PACKET)', c.socket(AF_PACKET, SOCK_RAW, 0));
    const one = new Uint8Array([1, 0, 0, 0]);
    for (const option of [PACKET_VNET_HDR, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING]) {
      checked('setsockopt(AF_PACKET)', c.setsockopt(this.#fd, SOL_PACKET, option, one, 4));
    }
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, AF_PACKET, true);
    address.setUint16(2, ETH_P_ALL_NETWORK_ORDER, true);
    address.setInt32(4, ifindex, true);
    checked('bind(AF_PACKET)', c.bind(this.#fd, new Uint8Array(address.buffer), 20));
    this.#arena.pointer(16, CAPTURE.vector);
    this.#arena.view.setBigUint64(24, 1n, true);
    this.#arena.pointer(32, CAPTURE.control);
    this.#arena.pointer(CAPTURE.vector, CAPTURE.data);
    this.#arena.view.setBigUint64(CAPTURE.vector + 8, BigInt(CAPTURE.dataBytes), true);
  }

  send(frame: Uint8Array): void {
    const bytes = new Uint8Array(VNET_BYTES + frame.length);
    bytes.set(frame, VNET_BYTES);
    checked('send(AF_PACKET)', Number(c.send(this.#fd, bytes, bytes.length, 0)));
  }

  /** A frame that has come in, its checksum completed when the sender left that to the device; undefined: none. */
  receive(): { frame: Uint8Array; gsoBytes: number } | undefined {
    const { view, bytes } = this.#arena;
    view.setBigUint64(40, BigInt(CAPTURE.controlBytes), true);
    const length = Number(c.recvmsg(this.#fd, this.#arena.address, MSG_DONTWAIT));
    if (length < 0) return undefined;
    const frame = bytes.slice(CAPTURE.data + VNET_BYTES, CAPTURE.data + length);
    const gsoBytes = view.getUint8(CAPTURE.data + 1) === 0 ? 0 : view.getUint16(CAPTURE.data + 4, true);
    if (view.getUint8(CAPTURE.data) & 1) {
      const start = view.getUint16(CAPTURE.data + 6, true);
      completeChecksum(frame, start, start + view.getUint16(CAPTURE.data + 8, true));
    }
    // cmsghdr is 16 bytes, then struct tpacket_auxdata: status at 0, TCI at 16, TPID at 18.
    const auxiliary = CAPTURE.control + 16;
    if ((view.getUint32(auxiliary, true) & AUXDATA_VLAN_VALID) === 0) return { frame, gsoBytes };
    const tagged = new Uint8Array(frame.length + 4);
    tagged.set(frame.subarray(0, 12));
    new DataView(tagged.buffer).setUint16(12, view.getUint16(auxiliary + 18, true));
    new DataView(tagged.buffer).setUint16(14, view.getUint16(auxiliary + 16, true));
    tagged.set(frame.subarray(12), 16);
    return { frame: tagged, gsoBytes };
  }

  close(): void {
    c.close(this.#fd);
    this.#arena.free();
  }
}

/** From `start` to the end; the field holds the pseudo-header's part. */
function completeChecksum(frame: Uint8Array, start: number, at: number): void {
  let sum = 0;
  for (let i = start; i < frame.length; i += 2) sum += (frame[i]! << 8) | (frame[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  frame[at] = ~sum >>> 8;
  frame[at + 1] = ~sum;
}

/** How many of the messages were sent; the one after them is refused with `error`. */
export function sendMessages(fd: number, messages: bigint, count: number): { sent: number; error?: SysError } {
  const sent = c.sendmmsg(fd, messages, count, 0) as number;
  return sent < 0 ? { sent: 0, error: new SysError('sendmmsg', koffi.errno()) } : { sent };
}

// ---- memory and waiting ----------------------------------------------------------------------------------------

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffffffffffffffffn;

export interface Mapping {
  readonly address: bigint;
  readonly buffer: ArrayBuffer;
}

export function mapMemory(fd: number, offset: number, length: number, writable: boolean): Mapping {
  const protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  const address = c.mmap(null, length, protection, MAP_SHARED, fd, offset) as bigint;
  if (BigInt.asUintN(64, address) === MAP_FAILED) throw new SysError('mmap', koffi.errno());
  return { address, buffer: koffi.view(address, length) };
}

export function unmapMemory(mapping: Mapping): void {
  c.munmap(mapping.address, mapping.buffer.byteLength);
}

export function openEvent(): number {
  const EFD_NONBLOCK = 0o4000;
  return checked('eventfd', c.eventfd(0, EFD_NONBLOCK));
}

export function raiseEvent(fd: number): void {
  c.write(fd, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]), 8);
}

export function clearEvent(fd: number): void {
  c.read(fd, new Uint8Array(8), 8);
}

/** `arena` holds one struct pollfd (8 bytes) for each descriptor and is not touched until this resolves. */
export function pollReadable(arena: Arena, fds: readonly number[], timeoutMs: number): Promise<void> {
  const POLLIN = 1;
  fds.forEach((fd, index) => {
    arena.view.setInt32(index * 8, fd, true);
    arena.view.setInt32(index * 8 + 4, POLLIN, true);
  });
  return new Promise((resolve) => c.poll.async(arena.address, fds.length, timeoutMs, () => resolve()));
}

// ---- BPF objects -----------------------------------------------------------------------------------------------

export interface ObjectMap {
  readonly name: string;
  readonly fd: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly entries: number;
}

export interface LoadedObject {
  readonly maps: readonly ObjectMap[];
  /** File descriptors of the programs, which the caller closes. */
  readonly programs: ReadonlyMap<string, number>;
  close(): void;
}

/**
 * Opens and loads an object file. `reuse` gives the descriptor of a map that is to be used in place of a new one, or
 * undefined; it is closed here. Only the programs named are loaded.
 */
export function loadObject(
  path: string,
  programs: readonly string[],
  allPrograms: readonly string[],
  reuse: (map: string) => number | undefined,
): LoadedObject {
  const object = b.openFile(path, null) as bigint | null;
  if (!object) throw new SysError(`opening ${path}`, koffi.errno());
  const mapPointers: bigint[] = [];
  try {
    for (let map = b.nextMap(object, null); map; map = b.nextMap(object, map)) {
      mapPointers.push(map);
      const fd = reuse(b.mapName(map));
      if (fd === undefined) continue;
      try {
        checkedBpf(`reusing map ${b.mapName(map)}`, b.mapReuseFd(map, fd));
      } finally {
        c.close(fd);
      }
    }
    const find = (name: string): bigint => {
      const program = b.findProgram(object, name) as bigint | null;
      if (!program) throw new Error(`${path} has no program ${name}`);
      return program;
    };
    for (const name of allPrograms) b.setAutoload(find(name), programs.includes(name));
    checkedBpf(`the kernel refuses ${path} (bpftool prog loadall tells why)`, b.loadObject(object));
    return {
      maps: mapPointers.map((map) => ({
        name: b.mapName(map),
        fd: b.mapFd(map),
        keyBytes: b.mapKeySize(map),
        valueBytes: b.mapValueSize(map),
        entries: b.mapMaxEntries(map),
      })),
      programs: new Map(programs.map((name) => [name, b.programFd(find(name))])),
      close: () => b.closeObject(object),
    };
  } catch (error) {
    b.closeObject(object);
    throw error;
  }
}

/** The descriptor of a pinned object; undefined when nothing is pinned there. */
export function openPin(path: string): number | undefined {
  const fd = b.objGet(path) as number;
  if (fd === -E.ENOENT) return undefined;
  return checkedBpf(`opening ${path}`, fd);
}

/** For tests: whether the kernel still has the program or map of that id, pinned or not. */
export function stillThere(kind: 'program' | 'map', id: number): boolean {
  const fd = (kind === 'program' ? b.programOfId(id) : b.mapOfId(id)) as number;
  if (fd === -E.ENOENT) return false;
  closeFd(checkedBpf(`opening ${kind} ${id}`, fd));
  return true;
}

const BPF_MAP_TYPE_ARRAY = 2;

/** A pinned map, of whichever object; the caller closes its descriptor. Undefined when nothing is pinned there. */
export function openPinnedMap(path: string, name: string): (ObjectMap & { readonly isArray: boolean }) | undefined {
  const fd = openPin(path);
  if (fd === undefined) return undefined;
  const text = fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
  const number = (field: string): number => Number(new RegExp(`^${field}:\\s*(\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return {
    name,
    fd,
    keyBytes: number('key_size'),
    valueBytes: number('value_size'),
    entries: number('max_entries'),
    isArray: number('map_type') === BPF_MAP_TYPE_ARRAY,
  };
}

export const pin = (fd: number, path: string): void => void checkedBpf(`pinning ${path}`, b.objPin(fd, path));

// ---- maps: false or undefined means that the key is not there ---------------------------------------------------

export function mapLookup(fd: number, key: Uint8Array, value: Uint8Array): boolean {
  const result = b.lookup(fd, key, value) as number;
  if (result === -E.ENOENT) return false;
  checkedBpf('map look-up', result);
  return true;
}

export function mapTake(fd: number, key: Uint8Array, value: Uint8Array): boolean {
  const result = b.lookupDelete(fd, key, value) as number;
  if (result === -E.ENOENT) return false;
  checkedBpf('map take', result);
  return true;
}

/** Throws a SysError with code E2BIG when the map is full. */
export const mapUpdate = (fd: number, key: Uint8Array, value: Uint8Array): void =>
  void checkedBpf('map update', b.update(fd, key, value, 0));

export function mapDelete(fd: number, key: Uint8Array): boolean {
  const result = b.delete(fd, key) as number;
  if (result === -E.ENOENT) return false;
  checkedBpf('map delete', result);
  return true;
}

/**
 * Up to `count[0]` entries after the position in `from` (null: from the start) into `keys` and `values`; the position
 * for the next call is left in `next`. ENOSPC: a bucket does not fit, try again with more room.
 */
export function mapLookupBatch(
  fd: number,
  from: Uint8Array | null,
  next: Uint8Array,
  keys: Uint8Array,
  values: Uint8Array,
  count: Uint32Array,
): 'more' | 'end' | 'noRoom' {
  const result = b.lookupBatch(fd, from, next, keys, values, count, null) as number;
  if (result === -E.ENOENT) return 'end';
  if (result === -E.ENOSPC) return 'noRoom';
  checkedBpf('map batch look-up', result);
  return 'more';
}

// ---- attachments -----------------------------------------------------------------------------------------------

const BPF_TCX_INGRESS = 46;

/** The descriptor of a new TCX link; undefined when the kernel has no TCX (before 6.6). */
export function createTcxLink(program: number, ifindex: number): number | undefined {
  const fd = b.linkCreate(program, ifindex, BPF_TCX_INGRESS, null) as number;
  if (fd === -E.EINVAL || fd === -E.EOPNOTSUPP) return undefined;
  return checkedBpf(`attaching to interface ${ifindex}`, fd);
}

/** False when the interface of the link is gone. */
export function updateLink(link: number, program: number): boolean {
  const result = b.linkUpdate(link, program, null) as number;
  if (result === -E.ENOLINK || result === -E.ENODEV) return false;
  checkedBpf('replacing the program of a link', result);
  return true;
}

const TC_HOOK_BYTES = 24;
const TC_OPTIONS_BYTES = 32;
const BPF_TC_INGRESS = 1;
const BPF_TC_F_REPLACE = 1;
/** One place for our filter, so that it is replaced and never doubled. */
const TC_HANDLE = 1;
const TC_PRIORITY = 1;

function tcStructs(ifindex: number, program: number): { hook: Uint8Array; options: Uint8Array } {
  const hook = new DataView(new ArrayBuffer(TC_HOOK_BYTES));
  hook.setBigUint64(0, BigInt(TC_HOOK_BYTES), true);
  hook.setInt32(8, ifindex, true);
  hook.setUint32(12, BPF_TC_INGRESS, true);
  const options = new DataView(new ArrayBuffer(TC_OPTIONS_BYTES));
  options.setBigUint64(0, BigInt(TC_OPTIONS_BYTES), true);
  options.setInt32(8, program, true);
  options.setUint32(12, program === 0 ? 0 : BPF_TC_F_REPLACE, true);
  options.setUint32(20, TC_HANDLE, true);
  options.setUint32(24, TC_PRIORITY, true);
  return { hook: new Uint8Array(hook.buffer), options: new Uint8Array(options.buffer) };
}

/** Attaches by a tc filter (clsact), in place of the one that was there. */
export function attachFilter(program: number, ifindex: number): void {
  const { hook, options } = tcStructs(ifindex, program);
  const made = b.tcHookCreate(hook) as number;
  if (made !== -E.EEXIST) checkedBpf(`making a clsact hook on interface ${ifindex}`, made);
  checkedBpf(`attaching a filter to interface ${ifindex}`, b.tcAttach(hook, options));
}

/** False when there was none. */
export function detachFilter(ifindex: number): boolean {
  const { hook, options } = tcStructs(ifindex, 0);
  return (b.tcDetach(hook, options) as number) === 0;
}

// ---- program test-run ------------------------------------------------------------------------------------------

export interface TestRunResult {
  readonly verdict: number;
  readonly nanosecondsPerRun: number;
}

const TEST_OPTIONS_BYTES = 80;
/** struct __sk_buff; cb begins at 48. */
const SKB_BYTES = 192;
const SKB_CB_AT = 48;

/** Runs a program on a frame in the calling process; `cb` are the first words of skb->cb. */
export function testRun(program: number, frame: Uint8Array, cb: readonly number[], repeat: number): TestRunResult {
  const arena = new Arena(TEST_OPTIONS_BYTES + SKB_BYTES + frame.length);
  try {
    const { view } = arena;
    view.setBigUint64(0, BigInt(TEST_OPTIONS_BYTES), true);
    arena.pointer(8, TEST_OPTIONS_BYTES + SKB_BYTES);
    view.setUint32(24, frame.length, true);
    arena.pointer(32, TEST_OPTIONS_BYTES);
    view.setUint32(48, SKB_BYTES, true);
    view.setInt32(60, repeat, true);
    cb.forEach((word, index) => {
      view.setUint32(TEST_OPTIONS_BYTES + SKB_CB_AT + index * 4, word, true);
    });
    arena.bytes.set(frame, TEST_OPTIONS_BYTES + SKB_BYTES);
    checkedBpf('program test-run', b.testRun(program, arena.address));
    return { verdict: view.getUint32(56, true), nanosecondsPerRun: view.getUint32(64, true) };
  } finally {
    arena.free();
  }
}
