"""Where the keeper begins: run by its path, with what it is to do and where it is to report.

    python -I -S __main__.py SPECIFICATION REPORT

Both are descriptors: SPECIFICATION has JSON to be read (see `program`), REPORT gets lines of JSON. It is to be there at
once, so all of the keeper imports the standard library and its neighbours only.
"""

import sys

if __name__ == "__main__":
    sys.path.append(__file__.rpartition("/preflight/")[0])
    from preflight.rehearsal.keeper.service import main

    main(*map(int, sys.argv[1:]))
