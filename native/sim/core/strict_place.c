#define _POSIX_C_SOURCE 200809L
#include "core/strict_place.h"

#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

/* ---- Text ---- */

void sim_text_begin(sim_text *text, char *room, size_t bytes)
{
    text->at = room;
    text->left = bytes;
    *room = '\0';
}

void sim_text_add(sim_text *text, const char *words)
{
    while (*words != '\0' && text->left > 1) {
        *text->at++ = *words++;
        text->left--;
    }
    *text->at = '\0';
}

void sim_text_add_number(sim_text *text, uint64_t number, unsigned base)
{
    char digits[24];
    char *at = digits + sizeof digits;
    *--at = '\0';
    do {
        *--at = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    sim_text_add(text, base == 16 ? "0x" : "");
    sim_text_add(text, at);
}

/* ---- /proc/self/maps ---- */

/* What a line of it says: "first-last rights offset device inode   path". */
typedef struct mapping {
    uintptr_t first, last;
    bool is_begin;    /* of the file, and may be read */
    const char *path; /* "" for memory without a file */
} mapping;

static uintptr_t read_hex(const char **at)
{
    uintptr_t value = 0;
    for (;; (*at)++) {
        const char c = **at;
        if (c >= '0' && c <= '9') {
            value = value * 16 + (uintptr_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value * 16 + (uintptr_t)(c - 'a') + 10;
        } else {
            return value;
        }
    }
}

static mapping read_line(const char *line)
{
    mapping found;
    found.first = read_hex(&line);
    line += *line == '-';
    found.last = read_hex(&line);
    found.is_begin = strncmp(line, " r", 2) == 0 && strncmp(line + 5, " 00000000 ", 10) == 0;
    for (int field = 0; field < 5 && *line != '\0'; field++) { /* rights, offset, device, inode, path */
        while (*line != ' ' && *line != '\0') {
            line++;
        }
        while (*line == ' ') {
            line++;
        }
    }
    found.path = line;
    return found;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* A program linked for one address (not -pie): its addresses are those of its file. */
static bool is_fixed(uintptr_t first)
{
    const ElfW(Ehdr) *header = (const void *)first;
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_type == ET_EXEC;
}

/* Follows the mappings: those of one file lie behind each other, and the first of them is where it was loaded. */
static bool look_at(const mapping *line, uintptr_t address, sim_place *place, bool *found)
{
    sim_text name;
    if (*found && strncmp(last_part(line->path), place->file, sizeof place->file - 1) != 0) {
        return true; /* past the file's last */
    }
    if (!*found && (place->first == 0 || strncmp(last_part(line->path), place->file, sizeof place->file - 1) != 0)) {
        place->first = line->first;
        place->is_begin = line->is_begin;
        sim_text_begin(&name, place->file, sizeof place->file);
        sim_text_add(&name, last_part(line->path));
    }
    place->last = line->last;
    *found = *found || (address >= line->first && address < line->last);
    return *found && place->file[0] == '\0';
}

static bool read_maps(int file, uintptr_t address, sim_place *place)
{
    char buffer[1024], line[512];
    size_t length = 0;
    bool found = false;
    for (ssize_t got = read(file, buffer, sizeof buffer); got > 0; got = read(file, buffer, sizeof buffer)) {
        for (ssize_t index = 0; index < got; index++) {
            if (buffer[index] != '\n') {
                length += length < sizeof line - 1;
                line[length - 1] = buffer[index];
                continue;
            }
            line[length] = '\0';
            length = 0;
            const mapping mapped = read_line(line);
            if (look_at(&mapped, address, place, &found)) {
                return found;
            }
        }
    }
    return found;
}

bool sim_place_of(const void *address, sim_place *place)
{
    *place = (sim_place){.file = ""};
    const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    const bool found = read_maps(file, (uintptr_t)address, place);
    close(file);
    const bool fixed = found && place->is_begin && place->file[0] != '\0' && is_fixed(place->first);
    place->offset = found ? (uintptr_t)address - (fixed ? 0 : place->first) : 0;
    return found;
}

void sim_text_add_place(sim_text *text, const void *address)
{
    sim_place place;
    if (sim_place_of(address, &place) && place.file[0] != '\0') {
        sim_text_add(text, place.file);
        sim_text_add(text, "+");
        sim_text_add_number(text, place.offset, 16);
    } else {
        sim_text_add_number(text, (uintptr_t)address, 16);
    }
}
