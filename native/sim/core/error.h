/* Codes with sentences. CNRT hands out codes only; the sentence is kept per host thread for cnrtSimulatorLastMessage. */
#ifndef SIM_CORE_ERROR_H
#define SIM_CORE_ERROR_H

#include "cnrt.h"

/* What an asynchronous operation leaves behind: code CNRT_RET_SUCCESS, or a failure and its sentence. */
typedef struct sim_status {
    cnrtRet_t code;
    char text[512];
} sim_status;

/* Records a failure of the calling thread and returns its code: `return sim_error_set(CNRT_RET_ERR_..., "...", ...)`. */
cnrtRet_t sim_error_set(cnrtRet_t code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for a status that another thread wrote; success passes through. */
cnrtRet_t sim_error_set_status(const sim_status *status);
void sim_status_set(sim_status *status, cnrtRet_t code, const char *format, ...) __attribute__((format(printf, 3, 4)));

cnrtRet_t sim_error_peek(void);
void sim_error_reset(void);
const char *sim_error_message(void);

#endif
