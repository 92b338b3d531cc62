#include "core/toml.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST_DIGITS = 15 }; /* exact in a double */

sim_toml sim_toml_open(const char *text, size_t bytes)
{
    return (sim_toml){.at = text, .end = text + bytes, .line = 1, .problem = ""};
}

bool sim_toml_wrong(sim_toml *toml, unsigned line, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(toml->problem, sizeof toml->problem, "line %u: ", line);
    va_start(arguments, format);
    vsnprintf(toml->problem + used, sizeof toml->problem - (size_t)used, format, arguments);
    va_end(arguments);
    toml->at = toml->end;
    return false;
}

/* ---- Characters ---- */

static char peek(const sim_toml *toml)
{
    return toml->at < toml->end ? *toml->at : '\n';
}

static void skip_spaces(sim_toml *toml)
{
    while (peek(toml) == ' ' || peek(toml) == '\t') {
        toml->at++;
    }
}

static bool at_line_end(const sim_toml *toml)
{
    return peek(toml) == '\n' || (peek(toml) == '\r' && (toml->at + 1 == toml->end || toml->at[1] == '\n'));
}

/* Past spaces, a comment and the end of the line; false when something else stands there. */
static bool finish_line(sim_toml *toml)
{
    skip_spaces(toml);
    if (peek(toml) == '#') {
        while (!at_line_end(toml)) {
            toml->at++;
        }
    }
    if (!at_line_end(toml)) {
        return sim_toml_wrong(toml, toml->line,
                              "one value on a line, and nothing behind it but a comment; remove the rest, or begin a "
                              "new line.");
    }
    toml->at += toml->at < toml->end && *toml->at == '\r';
    toml->at += toml->at < toml->end;
    toml->line++;
    return true;
}

static bool is_key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool read_key(sim_toml *toml, char *key)
{
    size_t length = 0;
    skip_spaces(toml);
    while (is_key_character(peek(toml))) {
        if (length + 1 == SIM_TOML_MOST_KEY) {
            return sim_toml_wrong(toml, toml->line, "a name has at most %d characters.", SIM_TOML_MOST_KEY - 1);
        }
        key[length++] = *toml->at++;
    }
    key[length] = '\0';
    skip_spaces(toml);
    return length > 0 || sim_toml_wrong(toml, toml->line,
                                        "a plain name must stand here (letters, digits, _ and -), as in nth = 5 or "
                                        "[[fault]].");
}

/* ---- Values ---- */

static bool append(sim_toml *toml, char *text, size_t *length, char c)
{
    if (*length + 1 == SIM_TOML_MOST_STRING) {
        return sim_toml_wrong(toml, toml->line, "a value has at most %d bytes; shorten it.", SIM_TOML_MOST_STRING - 1);
    }
    text[(*length)++] = c;
    text[*length] = '\0';
    return true;
}

static bool read_string(sim_toml *toml, sim_toml_item *item)
{
    const char quote = *toml->at++;
    size_t length = 0;
    item->type = SIM_TOML_STRING;
    while (peek(toml) != quote) {
        char c = peek(toml);
        if ((unsigned char)c < 0x20 && c != '\t') {
            return sim_toml_wrong(toml, toml->line, "the string \"%.40s\" has no end; close it on its line.",
                                  item->text);
        }
        toml->at++;
        if (c == '\\' && quote == '"') {
            static const char FROM[] = "\"\\nt", TO[] = "\"\\\n\t";
            const char escaped = peek(toml);
            const char *found = escaped == '\0' ? NULL : strchr(FROM, escaped);
            if (found == NULL) {
                return sim_toml_wrong(toml, toml->line,
                                      "after \\ only \", \\, n and t are known; write '...' for text "
                                      "as it stands.");
            }
            c = TO[found - FROM];
            toml->at++;
        }
        if (!append(toml, item->text, &length, c)) {
            return false;
        }
    }
    toml->at++;
    return true;
}

/* Digits from `at` on, '_' between them; returns what follows. Value in a double: no locale has a say in it. */
static const char *read_digits(const char *at, double *value, unsigned *digits)
{
    for (; (*at >= '0' && *at <= '9') || (*at == '_' && *digits > 0); at++) {
        if (*at != '_') {
            *value = *value * 10 + (*at - '0');
            ++*digits;
        }
    }
    return at;
}

static double power_of_ten(int exponent)
{
    double power = 1;
    for (int i = 0; i < (exponent < 0 ? -exponent : exponent); i++) {
        power *= 10;
    }
    return power;
}

/* [+-] digits [. digits] [e [+-] digits], inf or nan; false: none of them. */
static bool read_number(sim_toml_item *item)
{
    const char *at = item->text;
    const double sign = *at == '-' ? -1 : 1;
    unsigned digits = 0, decimals = 0, exponent_digits = 0;
    double value = 0, exponent = 0;
    at += *at == '-' || *at == '+';
    if (strcmp(at, "inf") == 0 || strcmp(at, "nan") == 0) {
        item->type = SIM_TOML_FLOAT;
        item->number = *at == 'i' ? sign * (double)INFINITY : (double)NAN;
        return true;
    }
    at = read_digits(at, &value, &digits);
    const bool whole = *at == '\0';
    if (*at == '.') {
        at = read_digits(at + 1, &value, &decimals);
        if (decimals == 0) {
            return false;
        }
    }
    if ((*at == 'e' || *at == 'E') && digits > 0) {
        const double exponent_sign = at[1] == '-' ? -1 : 1;
        at = read_digits(at + 1 + (at[1] == '-' || at[1] == '+'), &exponent, &exponent_digits);
        exponent *= exponent_sign;
    }
    if (digits == 0 || digits + decimals > MOST_DIGITS || exponent_digits > 2 || *at != '\0') {
        return false;
    }
    const int shift = (int)exponent - (int)decimals;
    item->type = whole ? SIM_TOML_INTEGER : SIM_TOML_FLOAT;
    item->number = sign * (shift < 0 ? value / power_of_ten(shift) : value * power_of_ten(shift));
    item->integer = whole ? (int64_t)item->number : 0;
    return true;
}

static bool read_word(sim_toml *toml, sim_toml_item *item)
{
    size_t length = 0;
    while (is_key_character(peek(toml)) || peek(toml) == '.' || peek(toml) == '+') {
        if (!append(toml, item->text, &length, *toml->at++)) {
            return false;
        }
    }
    item->truth = strcmp(item->text, "true") == 0;
    if (item->truth || strcmp(item->text, "false") == 0) {
        item->type = SIM_TOML_BOOLEAN;
        return true;
    }
    return read_number(item) ||
           sim_toml_wrong(toml, toml->line,
                          "%s = %.40s is no value that is understood: give a \"string\" in quotes, a number, true or "
                          "false.",
                          item->key, item->text);
}

static bool read_value(sim_toml *toml, sim_toml_item *item)
{
    if (!read_key(toml, item->key)) {
        return false;
    }
    if (peek(toml) != '=') {
        return sim_toml_wrong(toml, toml->line, "after %s there must be = and a value.", item->key);
    }
    toml->at++;
    skip_spaces(toml);
    const bool quoted = peek(toml) == '"' || peek(toml) == '\'';
    return (quoted ? read_string(toml, item) : read_word(toml, item)) && finish_line(toml);
}

static bool read_table(sim_toml *toml, sim_toml_item *item)
{
    toml->at++;
    item->of_array = peek(toml) == '[';
    toml->at += item->of_array;
    if (!read_key(toml, item->key)) {
        return false;
    }
    for (int brackets = item->of_array ? 2 : 1; brackets > 0; brackets--) {
        if (peek(toml) != ']') {
            return sim_toml_wrong(toml, toml->line, "[%s has no closing bracket; write [%s] or [[%s]].", item->key,
                                  item->key, item->key);
        }
        toml->at++;
    }
    return finish_line(toml);
}

sim_toml_kind sim_toml_next(sim_toml *toml, sim_toml_item *item)
{
    if (toml->problem[0] != '\0') {
        return SIM_TOML_WRONG;
    }
    for (skip_spaces(toml); toml->at < toml->end && (at_line_end(toml) || peek(toml) == '#'); skip_spaces(toml)) {
        if (!finish_line(toml)) {
            return SIM_TOML_WRONG;
        }
    }
    if (toml->at == toml->end) {
        return SIM_TOML_END;
    }
    memset(item, 0, sizeof *item);
    item->line = toml->line;
    if (peek(toml) == '[') {
        return read_table(toml, item) ? SIM_TOML_TABLE : SIM_TOML_WRONG;
    }
    return read_value(toml, item) ? SIM_TOML_VALUE : SIM_TOML_WRONG;
}

/* ---- Fields ---- */

static const sim_toml_field *field_of(sim_toml *toml, const sim_toml_item *item, const sim_toml_field *fields,
                                      size_t count)
{
    char known[120] = "";
    for (size_t index = 0; index < count; index++) {
        const size_t used = strlen(known);
        if (strcmp(fields[index].key, item->key) == 0) {
            return &fields[index];
        }
        snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? " " : "", fields[index].key);
    }
    sim_toml_wrong(toml, item->line, "%s is not known; there are: %s%s.", item->key, known,
                   strlen(known) + 1 == sizeof known ? " ..." : "");
    return NULL;
}

static bool fits(const sim_toml_item *item, const sim_toml_field *field)
{
    switch (field->goal) {
    case SIM_TO_TEXT: return item->type == SIM_TOML_STRING || item->type == SIM_TOML_INTEGER;
    case SIM_TO_TRUTH: return item->type == SIM_TOML_BOOLEAN;
    case SIM_TO_WHOLE:
        return item->type == SIM_TOML_INTEGER && item->number >= field->low && item->number <= field->high;
    case SIM_TO_NUMBER: break;
    }
    const bool number = item->type == SIM_TOML_INTEGER || item->type == SIM_TOML_FLOAT;
    const bool anything = isinf(field->low) && isinf(field->high); /* nan is within no bounds */
    return number && (anything || (item->number >= field->low && item->number <= field->high));
}

static bool refuse(sim_toml *toml, const sim_toml_item *item, const sim_toml_field *field)
{
    switch (field->goal) {
    case SIM_TO_TEXT: return sim_toml_wrong(toml, item->line, "%s must be a string in quotes.", item->key);
    case SIM_TO_TRUTH:
        return sim_toml_wrong(toml, item->line, "%s = %.40s must be true or false.", item->key, item->text);
    case SIM_TO_WHOLE:
    case SIM_TO_NUMBER: break;
    }
    return sim_toml_wrong(toml, item->line, "%s = %.40s must be a %s from %g to %g.", item->key, item->text,
                          field->goal == SIM_TO_WHOLE ? "whole number" : "number", field->low, field->high);
}

bool sim_toml_store(sim_toml *toml, const sim_toml_item *item, const sim_toml_field *fields, size_t count, void *target,
                    uint64_t *seen)
{
    const sim_toml_field *field = field_of(toml, item, fields, count);
    if (field == NULL) {
        return false;
    }
    const uint64_t bit = UINT64_C(1) << (field - fields);
    if (*seen & bit) {
        return sim_toml_wrong(toml, item->line, "%s is given twice; remove one.", item->key);
    }
    *seen |= bit;
    if (!fits(item, field)) {
        return refuse(toml, item, field);
    }
    void *place = (char *)target + field->offset;
    switch (field->goal) {
    case SIM_TO_TEXT:
        if (item->type == SIM_TOML_INTEGER) {
            snprintf(place, SIM_TOML_MOST_STRING, "%lld", (long long)item->integer);
        } else {
            memcpy(place, item->text, SIM_TOML_MOST_STRING);
        }
        break;
    case SIM_TO_WHOLE: memcpy(place, &item->integer, sizeof item->integer); break;
    case SIM_TO_NUMBER: memcpy(place, &item->number, sizeof item->number); break;
    case SIM_TO_TRUTH: memcpy(place, &item->truth, sizeof item->truth); break;
    }
    return true;
}
