"""Git over HTTP(S) and SSH.

LAW: what a repository holds is data. Nothing of it is ever checked out, executed, followed or interpreted by Git: no
work tree, no hooks, no filters, no submodules, no symbolic links, no redirects. Secrets reach Git through its
environment or 0600 files in a private folder, never through an argument, the repository's config, a log or an error.

Git itself does the work, as a subprocess in a clean environment: GitPython inherits the operator's environment into
every call and has had a series of argument injections (CVE-2022-24439 and the advisories fixed in 3.1.47-3.1.58), and
its in-process object reader is deprecated by its authors. Reading 1,000 blobs with ``git cat-file --batch`` is also
four times as fast as that reader.
"""

from patchwright.adapters.git.credentials import credentials_from_secret as credentials_from_secret
from patchwright.adapters.git.credentials import verification_from_secret as verification_from_secret
from patchwright.adapters.git.source import GitSource as GitSource
from patchwright.adapters.git.validation import validate_request as validate_request
from patchwright.adapters.git.writeback import GitWriteBack as GitWriteBack
