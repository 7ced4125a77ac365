/* `make fleet-run` ends with the status of the command that it has run on a host.
 *
 * Make ends with 2 whatever a recipe has ended with. So the command is run by a function that make
 * loads (see "Loading Dynamic Objects" in its manual), and that ends make with the same status.
 */
#include <gnumake.h>
#include <stdlib.h>
#include <sys/wait.h>

int plugin_is_GPL_compatible;

static char *run_and_end(const char *name, unsigned int count, char **words)
{
	int status;

	(void)name, (void)count, (void)words;
	/* What make exports reaches its recipes only. */
	setenv("FLEET_HOST", gmk_expand("$(HOST)"), 1);
	setenv("FLEET_CMD", gmk_expand("$(value CMD)"), 1);
	setenv("FLEET_SUDO", gmk_expand("$(FLEET_SUDO)"), 1);
	status = system("exec $FLEET_SUDO tests/fleet/fleet run \"$FLEET_HOST\" \"$FLEET_CMD\"");
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int own_status_gmk_setup(void)
{
	gmk_add_function("run-and-end", run_and_end, 0, 1, GMK_FUNC_DEFAULT);
	return 1;
}
