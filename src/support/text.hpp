#pragma once

#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"
