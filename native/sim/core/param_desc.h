/* Parameter descriptors: what a program says about one tensor, or is told of it. Any thread may use one. */
#ifndef SIM_CORE_PARAM_DESC_H
#define SIM_CORE_PARAM_DESC_H

#include "core/error.h"
#include "core/object.h"
#include "exec/exec.h"

typedef struct sim_param_desc sim_param_desc;

enum { SIM_LONGEST_PARAM_NAME = 4096 };

typedef struct sim_param_facts {
    int rank; /* 0: no shape was set */
    int dims[SIM_MAX_RANK];
    cnrtDataType_t dtype;
    bool has_dtype; /* false: nobody set it, it is the default */
    cnrtDimOrder_t order;
    int id;
} sim_param_facts;

sim_param_desc *sim_param_desc_create(void); /* NULL after reporting */
void *sim_param_desc_handle(const sim_param_desc *desc);

sim_param_facts sim_param_desc_facts(sim_param_desc *desc);
void sim_param_desc_set_shape(sim_param_desc *desc, const int *dims, int rank); /* at most SIM_MAX_RANK */
void sim_param_desc_set_dtype(sim_param_desc *desc, cnrtDataType_t dtype);
/* Type, order, number and shape of a tensor; the name stays the program's. */
void sim_param_desc_describe(sim_param_desc *desc, const sim_io *io, int id);

/* Keeps a copy of `bytes` bytes, at most SIM_LONGEST_PARAM_NAME. False when there is no memory. */
bool sim_param_desc_set_name(sim_param_desc *desc, const char *name, int bytes);
/* A fresh copy for the caller, terminated, and the bytes that were set; NULL with 0 bytes: none was set, NULL with others: no
 * memory. */
char *sim_param_desc_copy_name(sim_param_desc *desc, int *bytes);
/* Whether it has a name, and whether it is this one. */
bool sim_param_desc_has_name(sim_param_desc *desc);
bool sim_param_desc_is_named(sim_param_desc *desc, const char *name);

#endif
