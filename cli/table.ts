/** Rows of text in columns as wide as their widest cell. */

export interface TableOptions {
  /** Columns, from 0, that line up at their right end: numbers. */
  readonly rightAligned?: readonly number[];
  /** Wider cells do not widen their column: they stick out. Default 60. */
  readonly maxColumnWidth?: number;
}

/** Lines, each indented by two spaces and without spaces at its end. */
export function tableLines(rows: readonly (readonly string[])[], options: TableOptions = {}): string[] {
  const { rightAligned = [], maxColumnWidth = 60 } = options;
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, Math.min(cell.length, maxColumnWidth));
    });
  }
  return rows.map((row) => {
    const cells = row.map((cell, column) =>
      rightAligned.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
    );
    return `  ${cells.join('  ')}`.trimEnd();
  });
}
