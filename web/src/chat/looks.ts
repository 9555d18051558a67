// Which names could be taken for one another. It knows names and who bears them, and decides nothing about what is shown.

/** Letters, each with what it looks like, of `confusables.ts`. */
export type Confusables = ReadonlyMap<string, string>;

const UNSEEN = /\p{Default_Ignorable_Code_Point}/gu;

/** What a name is at a glance: two that have one of these in common look alike. */
export function looksOf(name: string, confusables: Confusables): string[] {
  const plain = name.replace(UNSEEN, "").normalize("NFKD").replace(/\s+/gu, " ").trim();
  let skeleton = "";
  for (const letter of plain) skeleton += confusables.get(letter) ?? letter;
  return [...new Set([plain.toLowerCase(), skeleton.normalize("NFD").toLowerCase()])];
}

/** Names by their looks. */
export class Looks {
  readonly #owners = new Map<string, Set<string>>();

  constructor(private readonly confusables: Confusables) {}

  claim(owner: string, name: string): void {
    for (const look of looksOf(name, this.confusables)) {
      const owners = this.#owners.get(look);
      if (owners) owners.add(owner);
      else this.#owners.set(look, new Set([owner]));
    }
  }

  /** Whether somebody else has a name that looks like this one of `owner`. */
  shared(owner: string, name: string): boolean {
    return looksOf(name, this.confusables).some((look) => {
      const owners = this.#owners.get(look);
      return owners !== undefined && (owners.size > 1 || !owners.has(owner));
    });
  }
}
