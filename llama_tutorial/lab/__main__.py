"""JupyterLab in this process, which ends when its server has stopped.

A thread that the server lent to a last request may never return, and Python would wait for it: Ctrl-C would seem to
hang. Nothing is left to do once the server has cleaned up, so the process ends there.
"""

import os
import sys

if __name__ == "__main__":
    status = 1
    try:
        from jupyterlab.labapp import main

        main()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
