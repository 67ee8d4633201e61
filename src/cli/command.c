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

void command_print_help(void)
{
	puts("\nSub-commands:");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  registryfs %s %s\n        %s\n", commands[i]->name,
		       commands[i]->usage, commands[i]->help);
}

int command_usage(const struct command *c)
{
	fprintf(stderr, "usage: registryfs %s %s\n", c->name, c->usage);
	return 1;
}
