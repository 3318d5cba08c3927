/** The widths of letters in a plain sans-serif font, in thousandths of its size; of all others, the widest usual one. */
const widths = new Map(
  Object.entries({
    "ijl'|": 250,
    'ft.,:;I![]()/ ': 320,
    'r-"{}*': 380,
    ckszvxyJ: 540,
    'abdeghnopquL0123456789#_': 600,
    'ABCDEFGHKNOPQRSTUVXYZ&': 730,
  }).flatMap(([letters, width]) => [...letters].map((letter) => [letter, width] as const)),
)

/** How wide a text will be at most, in pixels: an estimate, since fonts differ from computer to computer. */
export function textWidth(text: string, size: number): number {
  const thousandths = [...text].reduce((sum, letter) => sum + (widths.get(letter) ?? 900), 0)
  return Math.ceil((thousandths * size) / 1000)
}

/** Breaks a text between words, so that no line is wider than that, if it has more than one word. */
export function wrapped(text: string, size: number, widthMax: number): readonly string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const longer = lines.length > 0 ? `${lines.at(-1)} ${word}` : word
    if (lines.length > 0 && textWidth(longer, size) <= widthMax) lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}
