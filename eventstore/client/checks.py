"""The system checks that processes without URLs run before they start."""

# Their tag. All the other checks would load the admin and the REST API, which costs a process
# that serves neither 12 MiB for good.
SETTINGS_CHECKS = "settings"
