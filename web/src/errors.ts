/** The errors of reading .hzc files: the classes of section 11 of the specification. */

/** Base of all errors about the bytes of a .hzc file. */
export class HzcError extends Error {
  /** @param check label of section 11, such as "H6"; empty where the file ends inside a field */
  constructor(
    message: string,
    readonly check: string,
  ) {
    super(message);
    this.name = new.target.errorClass;
  }

  static readonly errorClass: string = "HzcError";
}

/** This is no .hzc file. */
export class NotHzcError extends HzcError {
  static override readonly errorClass = "NotHzc";
}

/** Another version, or reserved bits or codes in use: a newer reader may know them. */
export class VersionError extends HzcError {
  static override readonly errorClass = "Version";
}

/** The file ends before what it declares. */
export class TruncatedError extends HzcError {
  static override readonly errorClass = "Truncated";
}

/** A field is outside its range. */
export class LimitError extends HzcError {
  static override readonly errorClass = "Limit";
}

/** A checksum does not match, fields contradict each other, or bytes follow the end. */
export class CorruptError extends HzcError {
  static override readonly errorClass = "Corrupt";
}

/** The reader does not have the model. */
export class UnknownModelError extends HzcError {
  static override readonly errorClass = "UnknownModel";
}

/** The model has another prior than the file was made with. */
export class DesyncError extends HzcError {
  static override readonly errorClass = "Desync";
}

/** A weight file breaks a rule of section 6.1: it must not be used. */
export class WeightsError extends Error {
  override readonly name = "WeightsError";
}
