"""The classes of error of section 11."""


class FileError(Exception):
    """A .hzc file was refused; the name of the subclass is the class of section 11."""


class NotHzc(FileError):
    """This is no .hzc file."""


class Version(FileError):
    """Another version, or reserved bits or codes in use."""


class Truncated(FileError):
    """The file ends before what it declares."""


class Limit(FileError):
    """A field is outside its range."""


class Corrupt(FileError):
    """A checksum does not match, fields contradict each other, or bytes follow the end."""


class UnknownModel(FileError):
    """The reader does not have the model."""


class Desync(FileError):
    """The model has another prior than the file was made with."""
