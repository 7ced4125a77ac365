"""`python -m appagent` is `appagent`."""

from appagent.cli import main

raise SystemExit(main())
