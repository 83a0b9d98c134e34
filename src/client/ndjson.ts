// Newline-delimited JSON, as it comes in: one value a line, whatever the chunks are.

/** Throws SyntaxError at a line that is no JSON, and what the body throws. An unfinished last line is dropped. */
export async function* ndjson(response: Response): AsyncGenerator<unknown> {
  if (response.body === null) return;
  let rest = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield JSON.parse(line);
  }
}
