/** Which stretch of a file to decode next. */

/** Frames that are decoded or not decoded together: one second. */
export const UNIT_FRAMES = 8;
const URGENT_UNITS = 2;
const MAX_UNITS = 16;

/**
 * Returns units first … end − 1, the next that are not decoded at or after `position`, then those
 * before it; null where all are decoded. A short one where somebody waits, so that sound starts soon.
 */
export function nextPiece(
  isDone: readonly boolean[],
  position: number,
  isUrgent: boolean,
): { first: number; end: number } | null {
  let first = isDone.indexOf(false, position);
  if (first < 0) first = isDone.indexOf(false);
  if (first < 0) return null;
  const after = isDone.indexOf(true, first);
  const free = after < 0 ? isDone.length : after;
  return { first, end: Math.min(free, first + (isUrgent ? URGENT_UNITS : MAX_UNITS)) };
}
