import type { Lab } from '../../src/lab/lab.ts';
import type { WovenAyatori } from '../beds/ayatori.ts';
import type { Result } from '../results.ts';
export async function measureOwn(_: {
  lab: Lab;
  traffic: string;
  ayatori: WovenAyatori | undefined;
  quick: boolean;
  note: (text: string) => void;
}): Promise<Result[]> {
  return [];
}
