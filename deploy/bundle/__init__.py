"""Makes what a box without internet is installed from: `python -m deploy.bundle --key release.key`."""
