#include "cnrt.h"

#include "api_header.h"
