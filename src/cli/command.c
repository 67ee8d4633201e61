/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sub-commands. */
#include "cli/command.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
	&cmd_check, &cmd_status, &cmd_warm, &cmd_evict, &cmd_cache,
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static void print_help(const struct command *c)
{
	printf("  registryfs %s %s\n        %s\n", c->name, c->usage, c->help);
}

void command_print_help(void)
{
	puts("\nSub-commands:");
	for (size_t i = 0; i < COMMANDS; i++)
		print_help(commands[i]);
}

int command_usage(const struct command *c)
{
	fprintf(stderr, "usage: registryfs %s %s\n", c->name, c->usage);
	return 1;
}

int command_run(const struct command *c, int argc, char **argv)
{
	if (argc != 2 ||
	    (strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0))
		return c->run(argc, argv);
	print_help(c);
	return 0;
}
