// Loaded into each test file by run.ts, which lets the runner end files by process.exit() (forceExit). That would lose
// what the pipe to the runner has not taken yet: results, failures among them. So exit waits until all is written.

const exit = process.exit.bind(process);
process.exit = ((code) => process.stdout.write('', () => exit(code))) as typeof process.exit;
