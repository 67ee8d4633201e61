/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Sub-commands, one file and one row each.  They talk to a mount through its
 * .registryfs directory, or to a registry as a mount would.
 */
struct command {
	const char *name;
	const char *usage; /* after the name */
	const char *help;
	/* argv[0] is the sub-command's name.  Returns the exit status. */
	int (*run)(int argc, char **argv);
};

/* NULL: no sub-command. */
const struct command *command_find(const char *name);
void command_print_help(void);
int command_usage(const struct command *c); /* on stderr; returns 1 */
/* Runs it; or, asked for help alone, says what it is for. */
int command_run(const struct command *c, int argc, char **argv);

extern const struct command cmd_cache;
extern const struct command cmd_check;
extern const struct command cmd_evict;
extern const struct command cmd_status;
extern const struct command cmd_warm;
