"""Exit with 0 if a GET of this address says 200: `python -m expunge.deployments.containers.health URL`."""

import sys
import urllib.request

SECONDS = 4


def main() -> int:
    """Ask the server at the first argument, without any proxy, and print why it is not well."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=SECONDS) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
